"""Revocation lists on disk, so that a control plane that is started again hands out the same ones.

They can be made again at any time: what cannot be read is made again, what cannot be written is
done without.
"""

from collections.abc import Iterable
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from meshwarden.adapters.storage.durable import write_whole
from meshwarden.identity import Authority, issuer_name, render_crl

_log = structlog.get_logger()
_SUFFIX = ".pem"


class FileLists:
    """One file for each issuer in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def load(self, authority: Authority) -> x509.CertificateRevocationList | None:
        """Return the list that `authority` signed last; None where there is no good one."""
        try:
            raw = self._path(issuer_name(authority)).read_bytes()
            crl = x509.load_pem_x509_crl(raw)
            signed = crl.is_signature_valid(authority.key.public_key())
        except (OSError, ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            return None
        return crl if signed and crl.issuer == authority.issuer.subject else None

    def store(self, authority: Authority, crl: x509.CertificateRevocationList) -> None:
        """Keep the list of `authority`."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(
                self._path(issuer_name(authority)),
                lambda path: _write(path, render_crl(crl)),
            )
        except OSError as error:
            _log.warning("list_not_kept", error=str(error))

    def keep_only(self, authorities: Iterable[Authority]) -> None:
        """Remove the lists of all others."""
        kept = {issuer_name(one) + _SUFFIX for one in authorities}
        for path in self._directory.glob(f"*{_SUFFIX}"):
            if path.name not in kept:
                path.unlink(missing_ok=True)

    def _path(self, issuer: str) -> Path:
        return self._directory / (issuer + _SUFFIX)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="ascii")
