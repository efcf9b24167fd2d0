"""Whatever a partner's endpoint shows, a failure is one that the poll of its bundle knows."""

import ssl
from datetime import UTC, datetime

import httpx
import pytest

from meshwarden.adapters.spiffe import bundle_client
from meshwarden.adapters.spiffe.bundle_client import fetch_bundle_spiffe
from meshwarden.identity import Bundle, create_root
from meshwarden.kernel import DependencyError, SpiffeId, VerificationError

ENDPOINT = SpiffeId.parse("spiffe://partner.example/bundle-endpoint")


class Showing:
    """A network stream whose peer shows these octets as its certificate."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def get_extra_info(self, _: str) -> "Showing":
        return self

    def getpeercert(self, *, binary_form: bool) -> bytes:
        assert binary_form
        return self._raw


@pytest.mark.parametrize("raw", [b"", b"\x30\x03\x02\x01\x01", b"\xff" * 100])
def test_a_certificate_that_cannot_be_read_proves_nothing(raw: bytes) -> None:
    response = httpx.Response(200, extensions={"network_stream": Showing(raw)})
    with pytest.raises(VerificationError):
        bundle_client._require_endpoint(response, ENDPOINT)


async def test_roots_that_openssl_does_not_take_are_a_failed_poll(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def _refuse(*_: object, **__: object) -> None:
        raise ssl.SSLError("bad roots")

    root = create_root("partner.example", now=datetime.now(UTC), serial=1 << 100)
    bundle = Bundle(trust_domain="partner.example", certificates=(root.certificate,))
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", _refuse)
    with pytest.raises(DependencyError) as failed:
        await fetch_bundle_spiffe("https://127.0.0.1:9/", ENDPOINT, bundle)
    assert failed.value.code == "federation.unreachable"
