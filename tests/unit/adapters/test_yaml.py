"""The YAML reader keeps lines, builds plain values only, and bounds what it reads."""

from pathlib import Path

import pytest

from meshwarden.adapters.yaml import load_document, parse_document
from meshwarden.adapters.yaml.codec import MAX_BYTES
from meshwarden.kernel import ConfigError, InputError


def test_scalars_follow_the_core_schema() -> None:
    node = parse_document(b"{a: 1, b: 1.5, c: yes, d: '1', e: 012, f: , g: true}", name="f")
    values = {key: value.value for key, value in node.mapping().items()}
    assert values == {"a": 1, "b": 1.5, "c": "yes", "d": "1", "e": "012", "f": None, "g": True}


def test_every_value_knows_its_line_and_path() -> None:
    node = parse_document(b"a:\n  - x\n  - b: 1\n", name="f.yaml")
    inner = node.mapping()["a"].items()[1].mapping()["b"]
    assert (inner.where, inner.path) == ("f.yaml:3", "a[1].b")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "yaml.documents"),
        (b"a: 1\n---\nb: 2\n", "yaml.documents"),
        (b"a: 1\na: 2\n", "yaml.duplicate_key"),
        (b"\ta: 1", "yaml.syntax"),
        (b"a: [1", "yaml.syntax"),
        (b"a: !!python/object/apply:os.system [id]", "yaml.tag"),
        (b"a: &x [1]\nb: *x", "yaml.alias"),
        (b"? [a]\n: 1", "yaml.key"),
        (b"[" * 2000, "yaml.syntax"),
        (b"[" * 100 + b"]" * 100, "yaml.too_deep"),
        (b"\xff\xfe\x00\xd8", "yaml.syntax"),
        (b"a: \x00", "yaml.syntax"),
        (b"#" * (MAX_BYTES + 1), "yaml.too_large"),
    ],
)
def test_hostile_documents_are_refused_with_a_place(raw: bytes, code: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_document(raw, name="f.yaml")
    assert refused.value.code == code
    assert refused.value.where.startswith("f.yaml")


def test_crlf_lines_are_lines() -> None:
    node = parse_document(b"a: 1\r\nb: 2\r\n", name="f")
    assert node.mapping()["b"].where == "f:2"


def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*missing\.yaml"):
        load_document(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="cannot read"):
        load_document(tmp_path)
