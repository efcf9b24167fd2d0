import json
from pathlib import Path
from typing import Any

import pytest

from meshwarden.policy import PathPattern, normalize_path

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "policy" / "paths.json").read_text("utf-8")
)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["note"])
def test_a_path_has_one_normal_form_or_is_refused(vector: dict[str, Any]) -> None:
    assert normalize_path(vector["raw"]) == vector["path"]


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("/v1/a", ["/v1/a"], ["/v1/a/", "/v1/ab", "/v1", "/v1/A", "/v1/a/b"]),
        ("/v1/a/", ["/v1/a/"], ["/v1/a", "/v1/a/b"]),
        ("/", ["/"], ["/a"]),
        ("/v1/{id}", ["/v1/7", "/v1/%20", "/v1/a;b"], ["/v1/", "/v1", "/v1/7/", "/v1/7/x"]),
        ("/{a}/x/{b}", ["/1/x/2"], ["/1/y/2", "/1/x/", "/1/x"]),
        ("/v1/**", ["/v1/a", "/v1/a/b", "/v1/a/"], ["/v1", "/v1/", "/v10/a"]),
        ("/**", ["/a", "/a/b/"], ["/"]),
        ("/v1/{id}/**", ["/v1/7/a", "/v1/7/a/b"], ["/v1/7", "/v1/7/"]),
        ("/a.b/c+d", ["/a.b/c+d"], ["/aXb/c+d", "/a.b/ccd"]),
        ("/bank.Ledger/Post", ["/bank.Ledger/Post"], ["/bank.ledger/Post"]),
    ],
)
def test_a_pattern_matches_exactly_its_paths(
    pattern: str, matching: list[str], others: list[str]
) -> None:
    parsed = PathPattern.parse(pattern)
    assert [path for path in matching + others if parsed.matches(path)] == matching


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        ("/", "/"),
        ("/**", "/"),
        ("/{a}", "/"),
        ("/a/{b}/c", "/a/"),
        ("/a/b", "/a/b"),
        ("/a/**", "/a/"),
    ],
)
def test_the_literal_prefix_ends_where_the_wildcards_start(pattern: str, prefix: str) -> None:
    assert PathPattern.parse(pattern).literal_prefix == prefix


def test_patterns_are_equal_where_they_match_the_same_paths() -> None:
    assert PathPattern.parse("/v1/{id}") == PathPattern.parse("/v1/{name}")
    assert PathPattern.parse("/v1/{id}") != PathPattern.parse("/v1/{id}/**")
