"""The rotations of a mesh, as its file asks for them."""

from collections.abc import Mapping

from meshwarden.adapters.rotation import (
    CommandRotation,
    Database,
    FileRotation,
    PostgresRotation,
)
from meshwarden.control.rotation_settings import (
    CommandSecret,
    FileSecret,
    PostgresSecret,
    SecretSettings,
)
from meshwarden.kernel import Clock, ConfigError
from meshwarden.response import Rotation


def rotations_of(
    secrets: Mapping[str, tuple[SecretSettings, ...]], clock: Clock
) -> dict[str, tuple[Rotation, ...]]:
    """Return what replaces the secrets of each service; ConfigError for names that are none."""
    return {
        service: tuple(_rotation(one, clock) for one in settings)
        for service, settings in secrets.items()
    }


def _rotation(settings: SecretSettings, clock: Clock) -> Rotation:
    match settings:
        case CommandSecret(argv=argv):
            return CommandRotation(argv=argv)
        case FileSecret(path=path, overlap_s=overlap_s):
            return FileRotation(path=path, clock=clock, overlap_s=overlap_s)
        case PostgresSecret():
            return _postgres(settings, clock)


def _postgres(settings: PostgresSecret, clock: Clock) -> Rotation:
    database = Database(
        host=settings.host, port=settings.port, name=settings.database, admin=settings.admin,
        admin_password=settings.admin_password, ca=settings.ca,
    )  # fmt: skip
    try:
        return PostgresRotation(
            database=database,
            roles=settings.roles,
            credentials=settings.credentials,
            clock=clock,
            overlap_s=settings.overlap_s,
        )
    except ValueError as error:
        raise ConfigError("response.secrets", str(error)) from error
