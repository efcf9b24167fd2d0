"""Where an address is, by databases in MaxMind's format that the user has (country, city, ASN)."""

import ipaddress
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import maxminddb

from meshwarden.kernel import ConfigError
from meshwarden.tokens.risk import Located


def open_locations(paths: Iterable[Path]) -> Callable[[str], Located]:
    """Return what says where an address is, by all databases together.

    Raises:
        ConfigError: `locations.unusable` where one of them is no such database.
    """
    readers = [_open(path) for path in paths]

    def _locate(address: str) -> Located:
        found: dict[str, Any] = {}
        for reader in readers:
            record = reader.get(ipaddress.ip_address(address))
            if isinstance(record, dict):
                found |= record
        return located_of(found)

    return _locate


def located_of(record: dict[str, Any]) -> Located:
    """Return what a record says; unknown or misshapen members are left out."""
    country, place = record.get("country"), record.get("location")
    code = country.get("iso_code") if isinstance(country, dict) else None
    number = record.get("autonomous_system_number")
    coordinates = (
        (place.get("latitude"), place.get("longitude")) if isinstance(place, dict) else (None, None)
    )
    known = all(isinstance(one, float | int) for one in coordinates)
    return Located(
        network=f"AS{number}" if isinstance(number, int) else None,
        country=code if isinstance(code, str) else None,
        place=(float(coordinates[0]), float(coordinates[1])) if known else None,  # type: ignore[arg-type]
    )


def _open(path: Path) -> maxminddb.Reader:
    try:
        return maxminddb.open_database(str(path))
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        raise ConfigError(
            "locations.unusable",
            f"{path} cannot be used as a database of locations: {str(error)[:120]}",
            hint="it must be in MaxMind's format (.mmdb)",
        ) from error
