"""Reading the access log: captured lines, hostile lines, and what only a claim is."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.recording.access_log_lines import GATEWAY, LEDGER, inbound, outbound

from meshwarden.adapters.envoy import accesslog
from meshwarden.adapters.envoy.accesslog_call import Naming, report_of
from meshwarden.adapters.envoy.accesslog_entry import MAX_LINE_BYTES, parse_entry
from meshwarden.kernel import InputError

VECTORS = Path("tests/vectors/envoy-access-log")


def _vectors(name: str) -> list[Any]:
    return [
        pytest.param(vector, id=vector["note"])
        for vector in json.loads((VECTORS / name).read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize("vector", _vectors("real.json"))
def test_a_line_of_a_real_sidecar_means_what_was_done(vector: dict[str, Any]) -> None:
    report = report_of(parse_entry(vector["line"].encode()), owner=vector["owner"], naming=Naming())
    assert report is not None
    found = {name: getattr(report.call, name, None) for name in vector["expect"]}
    found |= {"side": report.side.value, "paired": report.key is not None}
    assert found == vector["expect"]


@pytest.mark.parametrize("vector", _vectors("hostile.json"))
def test_a_hostile_line_is_refused_with_a_reason(vector: dict[str, Any]) -> None:
    with pytest.raises(InputError) as refused:
        parse_entry(vector["line"].encode())
    assert refused.value.code == "accesslog.line"
    assert vector["error"] in refused.value.message


@pytest.mark.parametrize(
    "line",
    [b"\xff\xfe", b'{"kind":"\x80"}', b"[" * 60_000, b'{"a":' * 10_000, b"1" * 60_000],
    ids=["no UTF-8", "no UTF-8 inside", "deep list", "deep object", "endless number"],
)
def test_octets_that_are_no_text_or_too_deep_are_refused(line: bytes) -> None:
    with pytest.raises(InputError, match="access log"):
        parse_entry(line)


def test_a_huge_line_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(InputError, match="longer than"):
        parse_entry(b'{"kind":"' + b"a" * MAX_LINE_BYTES)


def test_a_lone_surrogate_is_replaced_so_that_it_can_be_stored() -> None:
    line = b'{"kind":"inbound","start":"1","path":"/\\ud800"}'
    assert parse_entry(line).path == "/?"


def test_a_peer_without_a_finished_handshake_is_only_a_claim() -> None:
    entry = replace(parse_entry(inbound(1, "a")), handshake=False)
    report = report_of(entry, owner=LEDGER, naming=Naming())
    assert report is not None
    assert (report.call.source, report.call.claimed, report.key) == ("unknown", GATEWAY, None)


@pytest.mark.parametrize("peer", [f"{GATEWAY},{LEDGER}", "https://bank.example/", "spiffe://x"])
def test_a_certificate_without_exactly_one_spiffe_id_names_nobody(peer: str) -> None:
    report = report_of(parse_entry(inbound(1, "a", peer=peer)), owner=LEDGER, naming=Naming())
    assert report is not None
    assert (report.call.source, report.call.mtls, report.call.claimed) == ("unknown", False, peer)


def test_both_ends_of_a_request_have_the_same_key() -> None:
    callee = report_of(parse_entry(inbound(1, "a")), owner=LEDGER, naming=Naming())
    caller = report_of(parse_entry(outbound(1, "a")), owner=GATEWAY, naming=Naming())
    assert callee is not None
    assert caller is not None
    assert callee.key == caller.key


@pytest.mark.parametrize(
    ("line", "owner"),
    [
        (outbound(1, "b"), GATEWAY),
        (outbound(1, "a"), "spiffe://bank.example/ns/core/sa/other"),
        (outbound(1, "a", to="spiffe://bank.example/ns/core/sa/other"), GATEWAY),
        (outbound(1, "a", reached=False), GATEWAY),
    ],
    ids=["another id", "another caller", "another callee", "never reached the callee"],
)
def test_reports_that_differ_in_id_caller_or_callee_are_never_paired(
    line: bytes, owner: str
) -> None:
    callee = report_of(parse_entry(inbound(1, "a")), owner=LEDGER, naming=Naming())
    caller = report_of(parse_entry(line), owner=owner, naming=Naming())
    assert callee is not None
    assert caller is not None
    assert callee.key != caller.key


def test_a_host_without_a_route_is_named_by_the_mesh_or_as_external() -> None:
    naming = Naming(services={"ledger": LEDGER})
    entry = replace(parse_entry(outbound(1, "a", reached=False)), destination=None)
    known = report_of(entry, owner=GATEWAY, naming=naming)
    other = report_of(replace(entry, authority="Evil.Example:99"), owner=GATEWAY, naming=naming)
    odd = report_of(replace(entry, authority="a b\n"), owner=GATEWAY, naming=naming)
    found = [report.call.destination for report in (known, other, odd) if report]
    assert found == [LEDGER, "external:evil.example", "unknown"]


def test_a_request_from_outside_has_the_address_as_its_source() -> None:
    entry = replace(
        parse_entry(inbound(1, "a")), kind=accesslog.Kind.EDGE, remote="[2001:db8::1]:4711"
    )
    report = report_of(entry, owner=GATEWAY, naming=Naming())
    assert report is not None
    assert (report.call.source, report.call.destination) == ("external:2001:db8::1", GATEWAY)
    assert (report.call.mtls, report.call.claimed, report.key) == (False, None, None)


def test_the_deciding_rule_names_the_route() -> None:
    naming = Naming(route=lambda destination, rule, path: f"{destination[-6:]} {rule} {path}")
    report = report_of(parse_entry(inbound(1, "a")), owner=LEDGER, naming=naming)
    assert report is not None
    assert report.call.route == "ledger ledger.accepts[0] /v1/x"


def test_no_format_writes_the_query_or_a_token() -> None:
    logs = [
        accesslog.inbound_http("x"),
        accesslog.edge_http("x"),
        accesslog.outbound_http("x"),
        accesslog.inbound_tcp("x", port=1),
        accesslog.outbound_tcp("x", destination=LEDGER, port=1),
        accesslog.refused_handshakes("x"),
    ]
    text = b"".join(log.SerializeToString() for log in logs).lower()
    for secret in (b"req(:path)", b"path(wq", b"authorization)", b"txn-token", b"cookie"):
        assert secret not in text
