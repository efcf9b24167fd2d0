"""Who meets which registration; what is refused as a registration."""

from dataclasses import replace
from typing import Any

import pytest

from meshwarden.identity import (
    ProcessFacts,
    Registration,
    Selectors,
    Session,
    is_interpreter,
    match_registrations,
)
from meshwarden.kernel import ConfigError, SpiffeId

FACTS = ProcessFacts(
    pid=100,
    start_ticks=5000,
    uid=1001,
    gid=1002,
    groups=frozenset({1003}),
    session=90,
    session_start_ticks=4000,
    cgroup="/system.slice/ledger.service",
    network_namespace=4026531840,
    executable="/opt/bank/ledger",
    sha256="a" * 64,
)
LEDGER = SpiffeId.parse("spiffe://bank.example/ledger")


@pytest.mark.parametrize(
    ("selectors", "meets"),
    [
        ({"uid": 1001}, True),
        ({"uid": 1}, False),
        ({"uid": 0}, False),
        ({"gid": 1002}, True),
        ({"gid": 1003}, True),
        ({"gid": 1001}, False),
        ({"cgroup": "/system.slice/ledger.service"}, True),
        ({"cgroup": "/system.slice"}, True),
        ({"cgroup": "/system.slice/ledger"}, False),
        ({"cgroup": "/"}, True),
        ({"network_namespace": 4026531840}, True),
        ({"network_namespace": 4026531841}, False),
        ({"session": Session(leader=90, start_ticks=4000)}, True),
        ({"session": Session(leader=90, start_ticks=4001)}, False),
        ({"session": Session(leader=100, start_ticks=5000)}, False),
        ({"uid": 1001, "executable": "/opt/bank/ledger", "sha256": "a" * 64}, True),
        ({"uid": 1001, "executable": "/opt/bank/other"}, False),
        ({"uid": 1001, "sha256": "b" * 64}, False),
        ({"uid": 1, "executable": "/opt/bank/ledger"}, False),
        ({"executable": "/opt/bank/ledger"}, True),
    ],
)
def test_every_selector_must_be_met(selectors: dict[str, Any], meets: bool) -> None:
    assert Selectors(**selectors).meets(FACTS) is meets


@pytest.mark.parametrize(
    ("unknown", "selectors"),
    [
        ({"cgroup": None}, {"cgroup": "/"}),
        ({"network_namespace": None}, {"network_namespace": 1}),
        ({"session_start_ticks": None}, {"session": Session(leader=90, start_ticks=4000)}),
        ({"executable": None}, {"uid": 1001, "executable": "/opt/bank/ledger"}),
        ({"sha256": None}, {"uid": 1001, "sha256": "a" * 64}),
    ],
)
def test_an_unknown_fact_meets_no_selector(
    unknown: dict[str, Any], selectors: dict[str, Any]
) -> None:
    assert not Selectors(**selectors).meets(replace(FACTS, **unknown))


@pytest.mark.parametrize(
    "selectors",
    [
        {},
        {"executable": "/usr/bin/python3.11"},
        {"executable": "/usr/bin/bash", "sha256": "a" * 64},
        {"executable": "/usr/lib/jvm/bin/java"},
        {"executable": "/lib64/ld-linux-x86-64.so.2"},
        {"sha256": "a" * 64},
        {"uid": -1},
        {"uid": 2**32},
        {"uid": 1, "sha256": "A" * 64},
        {"uid": 1, "executable": "ledger"},
        {"uid": 1, "executable": "/opt/../ledger"},
        {"cgroup": "system.slice"},
        {"network_namespace": 0},
    ],
)
def test_what_proves_nothing_is_no_registration(selectors: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refused:
        Selectors(**selectors)
    assert refused.value.code == "identity.selectors"


def test_an_interpreter_with_its_user_is_a_registration() -> None:
    assert Selectors(uid=1, executable="/usr/bin/python3.11")


@pytest.mark.parametrize("name", ["python3.11", "node", "java", "bash", "busybox", "perl5.36"])
def test_interpreters_are_known_by_name(name: str) -> None:
    assert is_interpreter(f"/usr/bin/{name}")


@pytest.mark.parametrize("name", ["ledger", "shell-company", "nodelist", "envoy", "javelin"])
def test_other_programs_are_no_interpreters(name: str) -> None:
    assert not is_interpreter(f"/opt/{name}")


def test_one_registration_an_identity_in_their_order() -> None:
    other = SpiffeId.parse("spiffe://bank.example/other")
    known = [
        Registration(identity=LEDGER, selectors=Selectors(uid=1)),
        Registration(identity=other, selectors=Selectors(gid=1002)),
        Registration(identity=LEDGER, selectors=Selectors(uid=1001)),
        Registration(identity=LEDGER, selectors=Selectors(gid=1002), hint="later"),
    ]
    found = match_registrations(FACTS, known)
    assert [one.identity for one in found] == [other, LEDGER]
    assert found[1].hint == ""
    assert match_registrations(replace(FACTS, uid=5, gid=5, groups=frozenset()), known) == ()
