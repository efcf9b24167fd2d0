"""Peers: what those do who call the same makes a first contact, or a first use, more or less odd."""

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.behaviour_world import DAY, HOUR, SECOND, SMALL, START, call, name, table, traffic

from meshwarden.behaviour import Model
from meshwarden.behaviour.detectors.topology import Topology
from meshwarden.behaviour.encode import encode
from meshwarden.behaviour.findings import Alarm, finding_of
from meshwarden.behaviour.ground import Ground, Placed
from meshwarden.kernel import Call

NOBODY = np.zeros(1 << SMALL.node_bits, np.bool_)
LATER = START + DAY
Edges = list[tuple[str, str]]


def roles(*, missing: str = "a5", ledgers: str = "ab", size: int = 6) -> Edges:
    """Two kinds of services; each calls three of its own kind, and all but one their ledger."""
    own = [(f"{k}{i}", f"{k}-{d}") for k in "ab" for i in range(size) for d in ("x", "y", "z")]
    ledger = [(f"{k}{i}", f"{k}-ledger") for k in ledgers for i in range(size)]
    return own + [(a, b) for a, b in ledger if a != missing]


def _calls(edges: Iterable[tuple[str, str]], begin: int, **more: object) -> list[Call]:
    return [call(begin + k * SECOND, a, b, **more) for k, (a, b) in enumerate(edges)]


def _place(ground: Ground, calls: list[Call], muted: NDArray[np.bool_] = NOBODY) -> Placed:
    encoded = encode(table(calls))
    return ground.place(encoded, encoded.time, muted)


def _said(calls: list[Call], channel: int = 0) -> tuple[float, float]:
    """Return what topology says of the last call, and what it would if nobody had peers."""
    placed = _place(Ground(SMALL), calls)
    alone = replace(placed, unlike=np.zeros_like(placed.unlike))
    said = [Topology(SMALL).observe(each, NOBODY)[channel, -1] for each in (placed, alone)]
    return float(said[0]), float(said[1])


def test_what_all_peers_do_surprises_less_and_what_none_does_more() -> None:
    before = _calls(roles(), START)
    like, usual = _said([*before, call(LATER, "a5", "a-ledger")])
    unlike, same = _said([*before, call(LATER, "a5", "b-ledger")])
    assert usual == pytest.approx(same, abs=0.2)  # as many call the one as the other
    assert like < usual - 0.5
    assert unlike > same + 0.5


def test_a_new_replica_under_a_new_name_surprises_less_from_its_second_callee_on() -> None:
    before = _calls(roles(), START)
    replica = _calls([("a6", f"a-{d}") for d in ("x", "y", "z", "ledger")], LATER)
    for count in (2, 3, 4):
        said, alone = _said(before + replica[:count])
        assert said < alone - 0.5


def test_what_is_called_by_next_to_nobody_says_nothing_about_peers() -> None:
    """That none of five does is expected where one in a hundred does."""
    edges = [*roles(), *((f"c{i}", "c-x") for i in range(90)), ("c0", "rare")]
    said, alone = _said([*_calls(edges, START), call(LATER, "a5", "rare")])
    assert said == pytest.approx(alone, abs=0.2)


def test_how_many_call_is_told_by_eight_of_them() -> None:
    """A quarter of eight hundred: of five peers 1.25 are expected."""
    many = [(f"c{k}", "hub" if k % 4 else "popular") for k in range(788)]
    said, alone = _said([*_calls([*roles(), *many], START), call(LATER, "a5", "popular")])
    assert said - alone == pytest.approx(math.log((1.25 + 0.5) / 0.5), abs=0.5)


def test_without_peers_nothing_changes() -> None:
    edges = [*roles(), ("hermit", "cave")]
    strange = (("hermit", "b-ledger"), ("a5", "nobody's"), ("stranger", "a-ledger"), ("a5", "a5"))
    for a, b in strange:
        said, alone = _said([*_calls(edges, START), call(LATER, a, b)])
        assert said == alone


def test_a_service_that_all_peers_use_surprises_less_and_one_that_others_use_more() -> None:
    before = _calls(roles(missing=""), START)
    others = [(f"o{k}", "a-ledger") for k in range(3)]
    before += _calls([(f"a{i}", "a-ledger") for i in range(5)], START + HOUR, route="/v1/entries")
    before += _calls(others, START + 2 * HOUR, route="/v1/audit")
    like, usual = _said([*before, call(LATER, "a5", "a-ledger", route="/v1/entries")], 1)
    unlike, same = _said([*before, call(LATER, "a5", "a-ledger", route="/v1/audit")], 1)
    assert like < usual
    assert unlike > same


def test_a_flood_of_strangers_makes_nothing_ordinary() -> None:
    """They take the places of the peers, so nothing is known of these; none becomes one."""
    before = _calls(roles(), START)
    flood = [(f"f{k}", d) for k in range(150) for d in ("a-x", "b-ledger")]
    calls = [*before, *_calls(flood, START + HOUR), call(LATER, "a5", "b-ledger")]
    said, alone = _said(calls)
    assert said >= alone
    assert _place(Ground(SMALL), calls).peers[-1, 1] == 0


def test_who_alarms_is_nobodys_peer() -> None:
    ground, muted = Ground(SMALL), NOBODY.copy()
    placed = _place(ground, _calls(roles(), START))
    muted[placed.source[0]] = True  # a0, in whose name somebody goes on
    _place(ground, _calls([("a0", "b-ledger"), ("a0", "b-x")], START + HOUR), muted)
    again = _place(ground, [call(LATER, "a5", "b-ledger"), call(LATER, "b0", "a-ledger")], muted)
    assert again.peers.tolist() == [[4, 0], [5, 0]]


def test_what_began_while_it_alarmed_makes_nobody_a_peer_afterwards() -> None:
    ground, muted = Ground(SMALL), NOBODY.copy()
    edges = [*roles(), ("thief", "den")]
    muted[_place(ground, _calls(edges, START)).source[-1]] = True
    _place(ground, _calls([("thief", d) for d in ("a-x", "a-y", "b-ledger")], LATER), muted)
    assert _place(ground, [call(LATER + HOUR, "a5", "b-ledger")]).peers.tolist() == [[5, 0]]


def test_after_the_first_call_it_is_told_what_peers_do_by_now() -> None:
    ground = Ground(SMALL)
    _place(ground, _calls(roles(), START))
    first = _place(ground, _calls([("a5", "b-ledger")] * 2, LATER))
    _place(ground, _calls([("a0", "b-ledger"), ("a1", "b-ledger")], LATER + HOUR, route="/v2"))
    told = [ground.peers_of(first, row, NOBODY, service=service)
            for service in (False, True) for row in (0, 1)]  # fmt: skip
    assert told == [(5, 0), (5, 2), (5, 0), (2, 0)]
    own = _place(ground, _calls([("a5", "a5")] * 2, LATER + 2 * HOUR))
    assert ground.peers_of(own, 1, NOBODY, service=False) == (0, 0)


def _learned(edges: Edges) -> Model:
    model = Model(SMALL)
    model.observe(table(traffic(48, edges=edges, rate=8.0)))
    return model


def test_the_finding_says_what_peers_did() -> None:
    model = _learned(roles())
    scored = model.observe(table(_calls([("a5", "b-ledger")] * 3, START + 2 * DAY)))
    assert [f.code for f in scored.findings] == ["behaviour.new_edge"]
    assert (
        "48.0 hours of history, none of its 5 peers ever did, as odd" in scored.findings[0].sentence
    )


@pytest.mark.parametrize(("peers", "did", "words"), [
    (0, 0, "history, as odd"), (1, 0, "its one peer never did,"),
    (1, 1, "its one peer did before,"), (6, 0, "none of its 6 peers ever did,"),
    (5, 3, "3 of its 5 peers did before,"),
    (2, 2, "all of its 2 peers did before,"),
])  # fmt: skip
def test_peers_in_words(peers: int, did: int, words: str) -> None:
    alarm = Alarm(
        time=LATER, source="a", destination="b", service="", towards="b", outcome="", channel="new edge",
        surprise={"new edge": 9.0}, score=1.0, groups_per_day=9.0, known=9 * HOUR, row=9, peers=peers,
        did=did,
    )  # fmt: skip
    assert words in finding_of(alarm).sentence


def test_a_merged_model_knows_the_peers_of_both() -> None:
    """The one knows some of a role, the other the rest, whom they call, and who else does."""
    some = [(a, b) for a, b in roles() if a in {"a0", "a5"}]
    one, two = _learned(some), _learned([(a, b) for a, b in roles() if a not in {"a0", "a5"}])
    one.merge(two)
    assert one.ground.callers[0] == 12
    placed = _place(one.ground, [call(START + 3 * DAY, "a5", "a-ledger")])
    assert placed.peers.tolist() == [[5, 5]]
    assert Model.load(one.save()).describe()["identities"] == one.describe()["identities"]
    assert name("a5") in one.names.save().values()
