"""The licence check: what it accepts, and that it refuses what it does not understand."""

from email.message import EmailMessage
from importlib.metadata import PackageMetadata
from typing import cast

import pytest
from tools.check_licences import is_accepted, licence_of


class Metadata(EmailMessage):
    """Package metadata as `importlib.metadata` gives it."""

    @property
    def json(self) -> dict[str, object]:
        found: dict[str, object] = {key.lower().replace("-", "_"): self[key] for key in self}
        return found | {"classifier": self.get_all("Classifier") or []}


def metadata(*fields: tuple[str, str]) -> PackageMetadata:
    message = Metadata()
    for name, value in fields:
        message[name] = value
    return cast("PackageMetadata", message)


@pytest.mark.parametrize(
    ("expression", "accepted"),
    [
        ("MIT", True),
        ("gpl-3.0-only", False),
        ("lgpl-2.1-or-later", False),
        ("agpl-3.0", False),
        ("unknown", False),
        ("", False),
        ("apache-2.0 or gpl-2.0-only", True),
        ("apache-2.0 and gpl-2.0-only", False),
        ("mit and (bsd-3-clause or gpl-2.0-only)", True),
        ("(mit or gpl-2.0-only) and lgpl-3.0", False),
        ("gpl-2.0-only with classpath-exception-2.0", False),
        ("mit with something", False),
        ("mit or", True),
        ("mit and", False),
        ("(mit", False),
        ("mit mit", False),
    ],
)
def test_an_expression_is_judged(expression: str, accepted: bool) -> None:
    assert is_accepted(expression) is accepted


def test_the_expression_outranks_classifiers_and_text() -> None:
    gpl = ("Classifier", "License :: OSI Approved :: GNU General Public License v3 (GPLv3)")
    mit = ("Classifier", "License :: OSI Approved :: MIT License")
    assert licence_of(metadata(("License-Expression", "MIT"), gpl)) == "mit"
    assert licence_of(metadata(("License", "MIT"), gpl)).startswith("gnu general")
    assert licence_of(metadata(mit, gpl)).startswith("mit and gnu general")
    assert licence_of(metadata(("License", "BSD-3-Clause"))) == "bsd-3-clause"
    assert licence_of(metadata()) == "unknown"
