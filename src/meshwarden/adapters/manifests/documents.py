"""Splits and parses files of many YAML documents (or one JSON document), within bounds.

What other tools read must be read the same here, since a gate that understands a manifest otherwise
than the cluster does passes what it should stop. So scalars follow YAML 1.1 as kubectl does (`yes`
is true), anchors, aliases and merge keys work, JSON is YAML.

Each document stands alone: a broken one becomes a `Problem` that names its line, and the others are
still read. Bounds: 8 MiB of YAML or 24 MiB of JSON a file, 100 levels, 500,000 values a document
after its aliases are followed. Duplicate keys are refused: tools differ in which one they take.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from yaml import YAMLError
from yaml._yaml import CParser

from meshwarden.adapters.manifests.build import Broken, build
from meshwarden.policy.gate.model import Document, Problem

MAX_YAML_BYTES: Final = 8 * 1024 * 1024
MAX_JSON_BYTES: Final = 24 * 1024 * 1024

_SEPARATOR = re.compile(rb"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_NOTHING = re.compile(
    rb"(?:[ \t\r]*(?:#[^\n]*)?(?:\n|\Z)|%[^\n]*(?:\n|\Z)|\.\.\.[ \t\r]*(?:\n|\Z))*"
)
_TEMPLATE = re.compile(r"\{\{-?\s*(\.(Values|Release|Chart|Capabilities)\b|include\b|template\b)")
_ANY_TEMPLATE = re.compile(rb"\{\{|\{%")


def parse_documents(raw: bytes, source: str) -> Iterator[Document | Problem]:
    """Yield each document in `raw`, or what is wrong with it; nothing for an empty file."""
    is_json = source.endswith(".json") or raw.lstrip()[:1] == b"{"
    limit = MAX_JSON_BYTES if is_json else MAX_YAML_BYTES
    if len(raw) > limit:
        yield _problem(source, 1, "gate.too_large", f"larger than {limit >> 20} MiB")
        return
    trouble = _undecodable(raw, source)
    if trouble is not None:
        yield trouble
        return
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    if is_json and (document := _parse_json(raw, source)) is not None:
        yield document
        return
    line = 1
    for piece in _pieces(raw):
        if not _NOTHING.fullmatch(piece.removeprefix(b"---")):
            yield from _parse_piece(piece, source, line)
        line += piece.count(b"\n")


def _undecodable(raw: bytes, source: str) -> Problem | None:
    if b"\x00" in raw:
        line = raw.count(b"\n", 0, raw.index(b"\x00")) + 1
        return _problem(source, line, "gate.binary", "binary, not YAML or JSON")
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return _problem(source, line, "gate.encoding", "not in UTF-8")
    return None


def _pieces(raw: bytes) -> Iterator[bytes]:
    start = 0
    for match in _SEPARATOR.finditer(raw):
        if match.start() > start:
            yield raw[start : match.start()]
        start = match.start()
    yield raw[start:]


def _parse_json(raw: bytes, source: str) -> Document | Problem | None:
    """Return the document, or what is wrong; None where the file is YAML that begins like JSON."""
    try:
        value = json.loads(raw, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        if not source.endswith(".json"):
            return None
        return _problem(source, error.lineno, "gate.json", f"not JSON: {error.msg}")
    except (Broken, RecursionError) as error:
        if isinstance(error, RecursionError):
            return _problem(source, 1, "gate.too_deep", "nested too deeply")
        return _problem(source, 1, error.code, error.message)
    return Document(source=source, line=1, raw=raw, value=value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        double = next(key for key in keys if keys.count(key) > 1)
        raise Broken(0, "gate.duplicate_key", f"the key {double[:80]!r} stands twice in one object")
    return found


def _no_constant(name: str) -> float:
    raise Broken(0, "gate.json", f"{name} is no JSON")


def _parse_piece(raw: bytes, source: str, first_line: int) -> Iterator[Document | Problem]:
    try:
        value = build(CParser(raw))
    except Broken as error:
        yield _of_template(
            raw, error.line, _problem(source, first_line + error.line, error.code, error.message)
        )
        return
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line = mark.line if mark else 0
        what = getattr(error, "problem", None) or "malformed"
        trouble = _problem(source, first_line + line, "gate.yaml", f"not YAML: {what}")
        yield _of_template(raw, line, trouble)
        return
    line = _unrendered(value)
    if line is not None:
        yield _rendered_needed(source, first_line + _line_of(raw, line))
        return
    yield Document(source=source, line=first_line + _lead(raw), raw=raw, value=value)


def _of_template(raw: bytes, line: int, problem: Problem) -> Problem:
    """Return `problem`, or the likelier cause where a template stands in the document."""
    lines = raw.split(b"\n")
    near = b"\n".join(lines[max(0, line - 1) : line + 2])
    if _ANY_TEMPLATE.search(near):
        return _rendered_needed(problem.source, problem.line)
    return problem


def _rendered_needed(source: str, line: int) -> Problem:
    return _problem(
        source,
        line,
        "gate.template",
        "a template that was not rendered",
        hint="name the chart's folder, or pipe `helm template` into `meshwarden gate -`",
    )


def _unrendered(value: Any) -> str | None:
    """Return a text with a Helm expression inside an object, or None."""
    if not isinstance(value, dict) or "apiVersion" not in value:
        return None
    todo: list[Any] = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, str):
            if "{{" in one and _TEMPLATE.search(one):
                return one
        elif isinstance(one, dict):
            todo.extend(one.values())
        elif isinstance(one, list):
            todo.extend(one)
    return None


def _line_of(raw: bytes, text: str) -> int:
    match = _TEMPLATE.search(text)
    found = raw.find(match.group().encode()) if match else -1
    return raw.count(b"\n", 0, max(found, 0))


def _lead(raw: bytes) -> int:
    """Return how many lines of separator, comment or nothing stand before the document."""
    for count, line in enumerate(raw.split(b"\n")):
        text = line.strip()
        if text and not text.startswith((b"#", b"%")) and text != b"---":
            return count
    return 0


def _problem(source: str, line: int, code: str, message: str, hint: str = "") -> Problem:
    return Problem(source=source, line=line, code=code, message=message, hint=hint)
