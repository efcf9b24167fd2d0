"""An authority that the user brings, and its successors while they replace one another.

`mesh.yaml` names the first; a successor is brought with `identity rotate`. From then on the files
of `authority_rotation` in the authority's directory say where the replacement stands, and
`replaced` names the issuers that were replaced, one a line. Whoever then puts the successor's files
where `mesh.yaml` points, as asked, changes nothing; whoever does not, is not thrown back to the old
one.
"""

import os
from datetime import datetime
from pathlib import Path
from typing import Final

from meshwarden.adapters.storage.authority import (
    INTERMEDIATE,
    ROOT,
    load_brought_authority,
    load_signing,
    replace_private,
    storage_errors,
)
from meshwarden.adapters.storage.authority_rotation import (
    NEXT,
    damaged_as_error,
    load_next,
    load_retired_all,
    switch_authority,
    text_of,
)
from meshwarden.identity import Authority, Trust, issuer_name, signs_crls
from meshwarden.kernel import ConfigError

REPLACED: Final = "replaced"


def load_brought_trust(
    directory: Path, trust_domain: str, *, certificates: Path, key: Path, now: datetime
) -> Trust:
    """Return the authorities: the one that the files are, or what it was replaced with.

    Raises:
        ConfigError, StateError: as `load_brought_authority`.
        StateError: `authority.damaged` where a file in `directory` is unusable.
        DependencyError: `authority.storage` where the disk fails.
    """
    named = load_brought_authority(trust_domain, certificates=certificates, key=key, now=now)
    with storage_errors(directory):
        current, path = named, directory / INTERMEDIATE
        if issuer_name(named) in _load_replaced(directory) and path.exists():
            with damaged_as_error(path):
                current = load_signing(path, directory / ROOT, trust_domain, now=now)
        retired = load_retired_all(directory, trust_domain, now=now)
        return Trust(
            current=current,
            prepared=load_next(directory, trust_domain, now=now),
            retired=tuple(
                old for old in retired if issuer_name(old.authority) != issuer_name(current)
            ),
        )


def prepare_brought(directory: Path, trust: Trust, successor: Authority) -> Trust:
    """Return `trust` with `successor` prepared, kept in `directory` before it is returned.

    Raises:
        ConfigError: `authority.same` where it is one of those that count already;
            `authority.no_lists` where it may not sign revocation lists, and the current one may.
        DependencyError: `authority.storage` where the disk fails.
    """
    if issuer_name(successor) in {issuer_name(one) for one in trust.authorities}:
        raise ConfigError(
            "authority.same",
            f"the certificate {issuer_name(successor)} is in use already",
            hint="bring another; `meshwarden identity list` shows those in use",
        )
    if signs_crls(trust.current) and not signs_crls(successor):
        raise ConfigError(
            "authority.no_lists",
            "the new authority may not sign revocation lists, and the present one may",
            hint="have it issued with cRLSign in its keyUsage",
        )
    with storage_errors(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_private(directory / NEXT, text_of(successor))
    return Trust(current=trust.current, prepared=successor, retired=trust.retired)


def switch_brought(directory: Path, trust: Trust, *, until: datetime) -> Trust:
    """As `switch_authority`, and remember that the current one is replaced.

    Written first, this alone changes nothing: it counts once there is something to put in its
    place.
    """
    if trust.prepared is None:
        return trust
    with storage_errors(directory):
        names = _load_replaced(directory) | {issuer_name(trust.current)}
        names -= {issuer_name(trust.prepared)}
        replace_private(directory / REPLACED, "".join(f"{name}\n" for name in sorted(names)))
    return switch_authority(directory, trust, until=until)


def _load_replaced(directory: Path) -> set[str]:
    path = directory / REPLACED
    return set(path.read_text().split()) if os.path.lexists(path) else set()
