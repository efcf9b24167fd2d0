"""Writes plain values as YAML documents, as kubectl reads them: no anchors, keys in their order."""

from collections.abc import Iterable
from typing import Any

import yaml


class _Dumper(yaml.CSafeDumper):
    """Writes a value out each time that it stands somewhere."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  # PyYAML's own signature
        return True


def render_documents(values: Iterable[Any]) -> str:
    """Return `values` as one text, each a document of its own."""
    text: str = yaml.dump_all(values, Dumper=_Dumper, sort_keys=False, width=100)
    return text
