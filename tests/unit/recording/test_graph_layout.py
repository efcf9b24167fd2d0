"""The picture's layout: callers left of callees, nothing on top of anything, cycles allowed."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from meshwarden.control.recording.graph_layout import lay_out

names = st.sampled_from("abcdefgh")


def test_a_chain_goes_from_left_to_right() -> None:
    assert lay_out("abc", [("a", "b"), ("b", "c")]).layer == {"a": 0, "b": 1, "c": 2}


def test_an_edge_over_a_column_bends_in_it() -> None:
    layout = lay_out("abc", [("a", "b"), ("b", "c"), ("a", "c")])
    (bend,) = layout.bends[("a", "c")]
    assert bend[0] == 1
    assert abs(bend[1] - layout.row["b"]) >= 1


@given(st.lists(st.tuples(names, names), max_size=30))
def test_no_two_nodes_of_a_column_overlap(links: list[tuple[str, str]]) -> None:
    layout = lay_out("abcdefgh", links)
    for column in set(layout.layer.values()):
        rows = sorted(layout.row[n] for n in "abcdefgh" if layout.layer[n] == column)
        assert all(later - earlier > 0.999 for earlier, later in pairwise(rows))


@given(st.lists(st.tuples(names, names), max_size=30))
def test_both_ends_of_a_link_are_in_different_columns(links: list[tuple[str, str]]) -> None:
    layout = lay_out("abcdefgh", links)
    assert all(layout.layer[tail] != layout.layer[head] for tail, head in links if tail != head)
