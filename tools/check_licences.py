"""Fails where a run-time dependency is copyleft or of unknown licence; prints what each one is.

The project is Apache-2.0 and meant to be shipped inside other products. Judged is what
`requirements.lock` pins, by the metadata of the installed distributions: the licence expression
(PEP 639), else the classifiers, else the licence field where it is short. Development tools
(`requirements-dev.lock`) are not shipped and not judged.

An expression is accepted where one choice of each `OR` leads to accepted licences alone.
"""

import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

LOCK = Path(__file__).parent.parent / "requirements.lock"

ACCEPTED = {
    "0bsd", "apache-2.0", "blueoak-1.0.0", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "isc", "mit",
    "mit-0", "psf-2.0", "python-2.0", "unlicense", "zlib",
}  # fmt: skip

# What setuptools-era metadata calls them.
NAMES = {
    "3-clause bsd license": "bsd-3-clause",
    "apache 2.0": "apache-2.0",
    "apache software license": "apache-2.0",
    "bsd license": "bsd-3-clause",
    "bsd 2-clause license": "bsd-2-clause",
    "isc license (iscl)": "isc",
    "mit license": "mit",
    "mozilla public license 2.0 (mpl 2.0)": "mpl-2.0",
    "python software foundation license": "psf-2.0",
    "the unlicense (unlicense)": "unlicense",
}

# Exactly these, each with its reason; a change of licence is judged anew.
EXCEPTIONS = {
    (
        "llvmlite",
        "bsd-2-clause and apache-2.0 with llvm-exception",
    ): "the exception only adds permissions to Apache-2.0",
    ("certifi", "mpl-2.0"): "copyleft by file: a list of root certificates, shipped unchanged",
    ("pathspec", "mpl-2.0"): "copyleft by file: used by the build alone, not shipped",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One dependency: what it says its licence is, and whether that is accepted."""

    name: str
    version: str
    licence: str
    accepted: bool
    reason: str


def main() -> int:
    """Print the table; return 1 where a dependency is refused, 2 where one is not installed."""
    try:
        judged = [judge(name, version) for name, version in sorted(read_lock(LOCK))]
    except metadata.PackageNotFoundError as error:
        print(f"{error} of {LOCK.name} is not installed: run make .venv/.run", file=sys.stderr)  # noqa: T201
        return 2
    for one in judged:
        mark = "ok" if one.accepted else "REFUSED"
        print(f"{mark:8}{one.name:20} {one.version:12} {one.licence}  {one.reason}".rstrip())  # noqa: T201
    refused = [one.name for one in judged if not one.accepted]
    if refused:
        print(f"copyleft or unknown licence: {', '.join(refused)}", file=sys.stderr)  # noqa: T201
    return 1 if refused else 0


def read_lock(lock: Path) -> list[tuple[str, str]]:
    """Return name and version of each pinned distribution."""
    return re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock.read_text(), re.MULTILINE)


def judge(name: str, pinned: str) -> Judgement:
    """Return what the installed distribution `name` says about itself."""
    found = metadata.distribution(name)
    licence = licence_of(found.metadata)
    reason = EXCEPTIONS.get((name, licence), "")
    accepted = bool(reason) or is_accepted(licence)
    if found.version != pinned:
        accepted, reason = False, f"the lock pins {pinned}"
    return Judgement(
        name=name, version=found.version, licence=licence, accepted=accepted, reason=reason
    )


def licence_of(about: metadata.PackageMetadata) -> str:
    """Return a licence expression in lower case; "unknown" where none can be read off."""
    fields = about.json
    expression = str(fields.get("license_expression", ""))
    if expression:
        return expression.lower()
    prefix = "License :: OSI Approved :: "
    classifiers = [str(one) for one in fields.get("classifier", [])]
    named = [one.removeprefix(prefix).lower() for one in classifiers if one.startswith(prefix)]
    text = str(fields.get("license", "")).lower()
    if not named and "\n" not in text:
        named = [text]
    return " and ".join(NAMES.get(one, one) for one in named if one) or "unknown"


def is_accepted(expression: str) -> bool:
    """Return whether the expression can be met with accepted licences alone."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.lower())
    verdicts = [
        token if token in {"(", ")", "and", "or"} else str(token in ACCEPTED) for token in tokens
    ]
    return _Expression(verdicts).value()


class _Expression:
    """Reads `True`, `False`, `and`, `or` and parentheses; whatever else it meets is a refusal."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = [*tokens, "end"]

    def value(self) -> bool:
        found = self._any()
        return found and self._tokens == ["end"]

    def _any(self) -> bool:
        found = self._all()
        while self._tokens[0] == "or":
            self._tokens.pop(0)
            found = self._all() or found
        return found

    def _all(self) -> bool:
        found = self._one()
        while self._tokens[0] == "and":
            self._tokens.pop(0)
            found = self._one() and found
        return found

    def _one(self) -> bool:
        if self._tokens[0] == "(":
            self._tokens.pop(0)
            found = self._any()
            return self._tokens[0] == ")" and bool(self._tokens.pop(0)) and found
        return self._tokens[0] in {"True", "False"} and self._tokens.pop(0) == "True"


if __name__ == "__main__":
    sys.exit(main())
