"""Reads one YAML document through libyaml's event stream into a `Node` tree.

`yaml.compose` keeps line marks and builds no Python objects, so nothing in a document can run code.
Bounds, all with an InputError that names the line: 8 MiB, 64 levels, no aliases (anchors that
explode need them), no duplicate keys, no tags beyond the core schema's scalars. Scalars follow YAML
1.2's core schema: `yes`, `on` and `012` stay text.
"""

import re
from pathlib import Path

import yaml

from meshwarden.kernel import ConfigError, InputError, Node
from meshwarden.kernel.document import Scalar

MAX_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 64

_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_CONSTANTS: dict[str, Scalar] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


def load_document(path: Path) -> Node:
    """Return the document in the file `path`.

    Raises:
        ConfigError: as `load_bytes`.
        InputError: where its bytes are no single, bounded YAML document.
    """
    return parse_document(load_bytes(path), name=str(path))


def load_bytes(path: Path) -> bytes:
    """Return what is in the file `path`, cut off after one byte more than is accepted.

    Raises:
        ConfigError: `file.unreadable` where the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            "file.unreadable",
            f"cannot read {path}: {error.strerror}",
            hint="check the path and its permissions",
        ) from error


def parse_document(raw: bytes, *, name: str) -> Node:
    """Return the one document in `raw`; InputError, naming the file `name`, where it is none."""
    if len(raw) > MAX_BYTES:
        raise InputError("yaml.too_large", f"larger than {MAX_BYTES >> 20} MiB", where=name)
    return _Reader(name).read(raw)


class _Reader:
    """Turns parser events into Nodes, iteratively bounded by depth."""

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self, raw: bytes) -> Node:
        try:
            events = list(yaml.parse(raw, Loader=yaml.CSafeLoader))
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise InputError(
                "yaml.syntax",
                f"not YAML: {error.problem or 'malformed'}",
                where=f"{self._name}:{line}",
                hint="indent with spaces; quote texts that hold ': ' or start with a sign",
            ) from error
        except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
            raise InputError("yaml.syntax", "not YAML in UTF-8", where=f"{self._name}:1") from error
        starts = [event for event in events if isinstance(event, yaml.DocumentStartEvent)]
        if len(starts) != 1:
            count = "no document" if not starts else "more than one document"
            raise InputError("yaml.documents", f"{count} in the file", where=f"{self._name}:1")
        self._events = iter(events[2:])
        return self._node(next(self._events), path="", depth=0)

    def _where(self, event: yaml.Event) -> str:
        return f"{self._name}:{event.start_mark.line + 1 if event.start_mark else 1}"

    def _node(self, event: yaml.Event, *, path: str, depth: int) -> Node:
        where = self._where(event)
        if depth > MAX_DEPTH:
            raise InputError("yaml.too_deep", f"nested deeper than {MAX_DEPTH} levels", where=where)
        if isinstance(event, yaml.AliasEvent):
            raise InputError(
                "yaml.alias", "aliases are not accepted", where=where, hint="write the value out"
            )
        tag = getattr(event, "tag", None)
        if tag not in {None, "!"}:
            raise InputError("yaml.tag", f"tags ({tag}) are not accepted", where=where)
        if isinstance(event, yaml.ScalarEvent):
            return Node(_scalar(event), where, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(self._sequence(path, depth), where, path)
        return Node(self._mapping(path, depth), where, path)

    def _sequence(self, path: str, depth: int) -> tuple[Node, ...]:
        entries: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            entries.append(self._node(event, path=f"{path}[{len(entries)}]", depth=depth + 1))
        return tuple(entries)

    def _mapping(self, path: str, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise InputError("yaml.key", "a key must be a plain text", where=self._where(event))
            if event.value in found:
                raise InputError(
                    "yaml.duplicate_key",
                    f"the key {event.value!r} stands twice in one mapping",
                    where=self._where(event),
                    hint=f"first at {found[event.value].where}",
                )
            below = f"{path}.{event.value}" if path else event.value
            found[event.value] = self._node(next(self._events), path=below, depth=depth + 1)
        return found


def _scalar(event: yaml.ScalarEvent) -> Scalar:
    text: str = event.value
    if not event.implicit[0]:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.fullmatch(text) and not re.match(r"[-+]?0[0-9]", text):
        return int(text)
    if _FLOAT.fullmatch(text) and not re.match(r"[-+]?0[0-9]", text):
        return float(text)
    return text
