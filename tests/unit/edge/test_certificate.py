"""The files of an edge's certificate."""

from pathlib import Path

import pytest
from tests.e2e.policy_support import Authority

from meshwarden.adapters.yaml import parse_document
from meshwarden.control.edge_certificate import EdgeCertificate, load_certificate, parse_edge
from meshwarden.kernel import ConfigError, InputError


def test_a_pair_is_loaded(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).issue("https://bank.test")
    chain, private = load_certificate(EdgeCertificate(certificate=certificate, key=key))
    assert chain.startswith("-----BEGIN CERTIFICATE")
    assert "PRIVATE KEY" in private


@pytest.mark.parametrize("case", ["missing", "empty", "text", "long", "other key"])
def test_what_is_no_pair_is_refused(tmp_path: Path, case: str) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("https://bank.test")
    if case == "missing":
        key.unlink()
    elif case == "other key":
        key = authority.issue("https://bank.test")[1]
    else:
        certificate.write_text({"empty": "", "text": "-----BEGIN", "long": "x" * 300_000}[case])
    with pytest.raises(ConfigError) as caught:
        load_certificate(EdgeCertificate(certificate=certificate, key=key))
    assert caught.value.code == "edge.certificate"


def test_an_edge_is_a_port_or_a_port_with_files() -> None:
    def parsed(text: str) -> tuple[int | None, EdgeCertificate | None]:
        return parse_edge(parse_document(text.encode(), name="mesh.yaml"), Path("/d"))

    assert parsed("8080") == (8080, None)
    port, files = parsed("{port: 8443, certificate: a.pem, key: /k/a.key}")
    assert files == EdgeCertificate(certificate=Path("/d/a.pem"), key=Path("/k/a.key"))
    assert port == 8443
    for wrong in ("0", "x", "{port: 8443}", "{port: 1, certificate: a, key: b, more: c}"):
        with pytest.raises(InputError):
            parsed(wrong)
