"""Transactions: carried by whom they reached, on one instance each."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tests.behaviour_world import DAY, HOUR, SECOND, SMALL, START, call, name, table

from meshwarden.behaviour import Model, Scored
from meshwarden.behaviour.encode import encode
from meshwarden.kernel import Call

LATER = START + 3 * DAY
STRAY = "behaviour.transaction_elsewhere"


def _chain(time: int, transaction: str, **more: object) -> list[Call]:
    """One transaction: s0 calls s1, which calls s3, which calls s5."""
    hops = (("s0", "s1"), ("s1", "s3"), ("s3", "s5"))
    return [
        call(time + k * 1000, a, b, transaction=transaction, **more)
        for k, (a, b) in enumerate(hops)
    ]


def _learned(**more: object) -> Model:
    model = Model(SMALL)
    calls = [
        each
        for k in range(3 * 24 * 40)
        for each in _chain(START + k * HOUR // 40, f"txn-{k}", **more)
    ]
    edge = [call(START + k * HOUR, "s4", "s5", transaction=f"other-{k}") for k in range(72)]
    model.observe(table(sorted([*calls, *edge], key=lambda each: each.time)))
    return model


def _codes(scored: Scored) -> list[str]:
    return [finding.code for finding in scored.findings]


def test_a_transaction_that_never_reached_its_carrier_is_found() -> None:
    stolen = _chain(LATER, "alpha")
    stolen += [
        call(LATER + (1 + 70 * k) * SECOND, "s4", "s5", transaction="alpha") for k in range(2)
    ]
    scored = _learned().observe(table(stolen))
    assert STRAY in _codes(scored)
    assert {finding.subject for finding in scored.findings} == {name("s4")}


def test_hops_are_no_news_in_whatever_order_they_are_logged() -> None:
    model = _learned()
    for k in range(50):
        model.observe(table(reversed(_chain(LATER + k * SECOND, f"later-{k}"))))
    state = next(d for d in model.detectors if d.name == "credentials").state
    assert state["strays"][0] < 0.5


def test_one_transaction_on_two_instances_of_a_carrier_is_odd() -> None:
    model = _learned(source_instance="pod-1")
    calls = _chain(LATER, "alpha", source_instance="pod-1")
    again = replace(calls[1], time=LATER + SECOND, source_instance="pod-2")
    nats = _credentials(model, [*calls, again])[3].tolist()
    assert nats[:3] == [0, 0, 0]
    assert nats[3] > 4


def test_behind_a_balancer_a_transaction_on_two_instances_is_usual() -> None:
    model = Model(SMALL)
    calls = [
        replace(each, source_instance=f"pod-{k % 2}")
        for k in range(2000)
        for each in (*_chain(START + k * SECOND, f"txn-{k // 2}"),)
    ]
    assert _credentials(model, calls)[3][-1] < 1


def test_inner_calls_that_are_logged_before_the_outer_ones_are_no_strays() -> None:
    """s0 calls s2, then s1, which calls s3, which calls s5, all of it under one transaction."""
    first = call(LATER, "s0", "s2", transaction="alpha")
    inner = [
        call(LATER + 4 * SECOND, "s3", "s5", transaction="alpha"),
        call(LATER + 3 * SECOND, "s1", "s3", transaction="alpha"),
    ]
    outer = call(LATER + 2 * SECOND, "s0", "s1", transaction="alpha")
    later = [
        call(LATER + 20 * SECOND, a, b, transaction="alpha")
        for a, b in (("s3", "s5"), ("s5", "s4"))
    ]
    nats = _credentials(_learned(), [first, *inner, outer, *later])[2]
    assert nats.tolist() == [0] * 6


def test_a_stray_call_makes_nobody_a_carrier() -> None:
    model = _learned()
    odd = [
        call(LATER + at * SECOND, a, b, transaction="alpha")
        for at, a, b in ((1, "s4", "s6"), (80, "s4", "s7"), (81, "s7", "s5"), (160, "s7", "s5"))
    ]
    stray = _credentials(model, [*_chain(LATER, "alpha"), *odd])[2]
    assert (stray > 0).tolist() == [False] * 4 + [True, False, True]


def _credentials(model: Model, calls: list[Call]) -> NDArray[np.float32]:
    """Return what the detector alone says, nats by channel and call."""
    encoded = encode(table(calls))
    placed = model.ground.place(encoded, encoded.time)
    detector = next(each for each in model.detectors if each.name == "credentials")
    return detector.observe(placed, model.alarms.state["muted"])
