"""Who runs as whom, which names resolve, and when a mesh is not isolated."""

import os
import shutil
from pathlib import Path

import pytest

from meshwarden.adapters.network import why_unavailable
from meshwarden.adapters.process.account import Account
from meshwarden.adapters.process.room import Hide, barriers, kept
from meshwarden.adapters.yaml import parse_document
from meshwarden.control.hosts import outside_addresses, render_hosts
from meshwarden.control.layout import USERS, Layout
from meshwarden.policy import AccessPolicy, parse_policy

LAYOUT = Layout(Path("/srv/state"), ("gateway", "ledger"), first_uid=USERS.start)
OTHER = Account(name="other", uid=65000, gid=65000, groups=(65000,), home="/")


def policy(*hosts: str) -> AccessPolicy:
    egress = "".join(f"      - {{host: {host}, port: 443}}\n" for host in hosts)
    text = (
        "apiVersion: meshwarden.dev/v1\ntrust_domain: test.example\nservices:\n"
        f"  gateway:\n    identity: spiffe://test.example/gateway\n    egress:\n{egress}"
        "  ledger: {identity: spiffe://test.example/ledger}\n"
    )
    return parse_policy(parse_document(text.encode(), name="access.yaml"))


def test_no_two_programs_of_a_mesh_have_the_same_user() -> None:
    uids = [
        LAYOUT.border_uid,
        *(LAYOUT.service_uid(name) for name in LAYOUT.names),
        *(LAYOUT.sidecar_uid(name) for name in LAYOUT.names),
    ]
    assert len(set(uids)) == 5
    assert set(uids) <= set(USERS)


def test_a_service_resolves_the_others_and_its_own_outside_hosts_only() -> None:
    found = render_hosts("gateway", policy("api.example"), LAYOUT)
    assert "10.213.0.11 ledger\n" in found
    assert " api.example\n" in found
    assert "api.example" not in render_hosts("ledger", policy("api.example"), LAYOUT)


def test_an_outside_host_keeps_its_address_when_others_come() -> None:
    before = outside_addresses(policy("m.example"))
    many = outside_addresses(policy("m.example", *(f"{n}.example" for n in range(50))))
    assert many["m.example"] == before["m.example"]
    assert len(set(many.values())) == 51


def test_a_closed_directory_on_the_way_is_replaced_and_what_is_needed_put_back(
    tmp_path: Path,
) -> None:
    closed = tmp_path / "home"
    program = closed / "project" / "bin"
    program.mkdir(parents=True)
    for directory, mode in ((tmp_path, 0o755), (closed, 0o700), (program, 0o755)):
        directory.chmod(mode)
    hidden = barriers([program], OTHER)
    assert all(program.is_relative_to(step.at) for step in hidden)
    assert any(closed.is_relative_to(step.at) for step in hidden)
    assert hidden == [Hide(at=hidden[0].at)]
    assert [step.at for step in kept([program])] == [program]


def test_without_root_or_without_the_tools_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 1000)
        assert why_unavailable() == "not started as root"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda tool, **_: None if tool == "nft" else f"/x/{tool}")
    assert why_unavailable() == "no nft on this machine; install nftables"
