"""The token service as the mesh file names it."""

from dataclasses import dataclass
from pathlib import Path

from meshwarden.kernel import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSettings:
    """The token service of a mesh.

    Attributes:
        policy_path: its issuance policy, absolute.
        service: its name, under which the access policy says who may call it.
        locations: MaxMind databases (country, city, network); none: addresses and prefixes alone.
    """

    policy_path: Path
    service: str = "token-service"
    locations: tuple[Path, ...] = ()


def parse_tokens(node: Node, directory: Path) -> TokenSettings:
    """Return the settings, paths taken relative to `directory`; InputError."""
    fields = node.fields(required=["policy"], optional=["service", "locations"])
    service, locations = fields.get("service"), fields.get("locations")
    return TokenSettings(
        policy_path=directory / fields["policy"].text(),
        service="token-service" if service is None else service.text(),
        locations=() if locations is None else tuple(directory / one for one in locations.texts()),
    )
