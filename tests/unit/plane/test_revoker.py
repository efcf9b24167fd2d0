"""Revoking without sockets: what is recorded, what is in force, who gets another certificate."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from tests.unit.plane.bench import Bench

from meshwarden.control.plane import ControlPlane
from meshwarden.control.plane.identities import Identities
from meshwarden.identity import Kind, parse_certificates
from meshwarden.kernel import DependencyError, InputError, VerificationError


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def certified(bench: Bench) -> ControlPlane:
    """Return a plane whose services have certificates."""
    plane = bench.plane()
    plane.publisher.certify()
    return plane


def listed(identities: Identities) -> set[int]:
    lists = identities.crls.split("-----END X509 CRL-----\n")
    return {
        one.serial_number
        for text in lists
        if text
        for one in x509.load_pem_x509_crl((text + "-----END X509 CRL-----\n").encode())
    }


@contextmanager
def disk_full(plane: ControlPlane) -> Iterator[None]:
    """Let the register's file be one that takes nothing."""
    store = plane.identities.store
    path, store._path = store._path, Path("/dev/full")
    try:
        yield
    finally:
        store._path = path


async def test_a_revoked_service_gets_another_certificate_and_the_old_one_is_listed(
    bench: Bench,
) -> None:
    plane = certified(bench)
    old = plane.certificates.current("front")
    revoked = await plane.revoker.revoke("front", reason="stolen")
    assert revoked.replaced == ("front",)
    assert listed(plane.identities) == {old.serial}
    assert set(plane.identities.containment().certificates) == {old.sha256}
    fresh = plane.certificates.current("front")
    assert fresh.serial != old.serial
    assert plane.identities.register.issued[fresh.sha256].kind is Kind.RENEWED


async def test_not_replaced_it_stays_withheld_through_starts_and_renewals(bench: Bench) -> None:
    plane = certified(bench)
    await plane.revoker.revoke("front", replace=False)
    held = plane.certificates.current("front").serial
    bench.clock.advance(minutes=40)
    assert plane.certificates.renew_due() == ["back"]
    assert plane.certificates.current("front").serial == held
    again = certified(bench)
    assert again.certificates.current("front").serial in listed(again.identities)
    assert again.identities.containment().withheld == {"front"}
    await again.revoker.reissue("front")
    assert again.certificates.current("front").serial not in listed(again.identities)
    assert again.identities.containment().withheld == frozenset()
    assert certified(bench).identities.register.withheld == {}


async def test_what_is_revoked_twice_is_revoked_once(bench: Bench) -> None:
    plane = certified(bench)
    old = plane.certificates.current("front")
    for _ in range(2):
        revoked = await plane.revoker.revoke(old.sha256.upper())
        assert [one.sha256 for one in revoked.certificates] == [old.sha256]
    assert listed(plane.identities) == {old.serial}


async def test_a_name_reaches_all_its_live_certificates_and_a_serial_only_one(
    bench: Bench,
) -> None:
    plane = certified(bench)
    first = plane.certificates.current("front")
    second = plane.certificates.replace("front")
    assert len(plane.revoker.targets.find("front")) == 2
    assert len(plane.revoker.targets.find(str(first.identity))) == 2
    [one] = plane.revoker.targets.find(f"{second.serial:x}")
    assert one.sha256 == second.sha256


async def test_a_certificate_of_another_authority_is_not_ours_to_revoke(
    bench: Bench, tmp_path: Path
) -> None:
    plane = certified(bench)
    (tmp_path / "other").mkdir()
    stranger = certified(Bench(tmp_path / "other")).certificates.current("front")
    with pytest.raises(VerificationError):
        await plane.revoker.revoke(stranger.certificate_chain)
    with pytest.raises(InputError):
        await plane.revoker.revoke("nobody")


async def test_on_a_full_disk_a_revocation_is_in_force_told_and_recorded_later(
    bench: Bench,
) -> None:
    plane = certified(bench)
    old = plane.certificates.current("front")
    with disk_full(plane):
        revoked = await plane.revoker.revoke(old.sha256)
        assert revoked.recorded is False
        assert old.sha256 in plane.identities.containment().certificates
        assert old.serial in listed(plane.identities)
    assert "identity.unrecorded" in bench.findings.codes
    plane.identities.look()
    assert old.sha256 in certified(bench).identities.register.revoked


async def test_on_a_full_disk_nothing_is_issued_and_services_keep_what_they_have(
    bench: Bench,
) -> None:
    plane = certified(bench)
    old = plane.certificates.current("front")
    bench.clock.advance(minutes=40)
    with disk_full(plane):
        assert plane.certificates.renew_due() == []
        with pytest.raises(DependencyError):
            plane.certificates.replace("front")
    assert plane.certificates.current("front") == old
    assert plane.certificates.renew_due() == ["front", "back"]


async def test_lists_are_renewed_daily_and_leave_out_what_has_ended(bench: Bench) -> None:
    plane = certified(bench)
    old = plane.certificates.current("front")
    await plane.revoker.revoke(old.sha256)
    first = plane.identities.crls
    assert plane.identities.crls == first
    bench.clock.advance(hours=25)
    assert plane.identities.crls != first
    assert listed(plane.identities) == set()
    assert plane.identities.containment().certificates == {}
    assert old.sha256 in plane.identities.register.revoked  # the record is kept


@pytest.mark.parametrize("damaged", [False, True])
async def test_a_new_start_hands_out_the_same_list_unless_it_is_damaged(
    bench: Bench, damaged: bool
) -> None:
    plane = certified(bench)
    old = plane.certificates.current("front")
    await plane.revoker.revoke(old.sha256)
    first = plane.identities.crls
    [file] = bench.layout.lists_dir.iterdir()
    if damaged:
        file.write_text(first[:-60])
    again = bench.plane().identities
    assert (again.crls == first) is not damaged
    assert listed(again) == {old.serial}


def test_an_authority_that_may_not_sign_lists_hands_out_none(bench: Bench) -> None:
    plane = certified(bench)
    assert plane.identities.crls
    [issuer] = parse_certificates(_without_crl_sign(bench), where="test")
    bench.authority = replace(bench.authority, issuer=issuer)
    plane.identities.trust = replace(plane.identities.trust, current=bench.authority)
    assert plane.identities.crls == ""


def _without_crl_sign(bench: Bench) -> bytes:
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    issuer = bench.authority.issuer
    certificate = (
        x509.CertificateBuilder()
        .subject_name(issuer.subject)
        .issuer_name(issuer.subject)
        .public_key(bench.authority.key.public_key())
        .serial_number(issuer.serial_number)
        .not_valid_before(bench.clock.now())
        .not_valid_after(bench.clock.now() + timedelta(days=1))
        .add_extension(usage, critical=True)
        .sign(bench.authority.key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM)
