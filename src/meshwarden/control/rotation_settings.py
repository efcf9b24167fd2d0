"""What the mesh file says about secrets: what can be replaced, where, and with which overlap.

```yaml
secrets:
  payments:
    - file: /etc/payments/api-key           # the previous one stays in <file>.previous meanwhile
      overlap_s: 5
    - command: [/usr/local/bin/rotate, payments]   # the new secret on its standard input
    - postgres:
        host: /run/postgresql                # or a host name, with `ca`
        database: bank
        admin: rotator
        admin_password_file: /etc/meshwarden/rotator
        roles: [payments_a, payments_b]      # they take turns
        credentials: /etc/payments/database.json   # user and password, for the service to read
```

A list of words alone is a command.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshwarden.kernel import Node

OVERLAP_S: Final = 5.0
MAX_OVERLAP_S: Final = 30.0
"""Longer would hold up the clean instance, which starts after it, and leave a thief more time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSecret:
    """A secret in a file."""

    path: Path
    overlap_s: float = OVERLAP_S


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSecret:
    """A secret that a program replaces: its whole path, and its arguments."""

    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresSecret:
    """A database user's password; the fields are those of `adapters.rotation`."""

    host: str
    port: int
    database: str
    admin: str
    admin_password: Path | None
    ca: Path | None
    roles: tuple[str, str]
    credentials: Path
    overlap_s: float = OVERLAP_S


SecretSettings = FileSecret | CommandSecret | PostgresSecret


def parse_secrets(node: Node, directory: Path) -> dict[str, tuple[SecretSettings, ...]]:
    """Return secrets by service; InputError `response.secrets` or `document.*`, with its line."""
    return {
        service: tuple(_parse_secret(one, directory) for one in secrets.items())
        for service, secrets in node.mapping().items()
    }


def _parse_secret(node: Node, directory: Path) -> SecretSettings:
    if isinstance(node.value, tuple):
        return CommandSecret(argv=_argv(node))
    fields = node.fields(optional=["file", "command", "postgres", "overlap_s"])
    kinds = [one for one in ("file", "command", "postgres") if fields.get(one) is not None]
    if len(kinds) != 1:
        node.refuse("response.secrets", "a secret is a file, a command, or one of postgres")
    overlap = fields.get("overlap_s")
    overlap_s = OVERLAP_S if overlap is None else overlap.number(0, MAX_OVERLAP_S)
    value = fields[kinds[0]]
    match kinds[0]:
        case "command":
            return CommandSecret(argv=_argv(value))
        case "file":
            return FileSecret(path=directory / value.text(), overlap_s=overlap_s)
    return _postgres(value, directory, overlap_s)


def _postgres(node: Node, directory: Path, overlap_s: float) -> PostgresSecret:
    fields = node.fields(
        required=["host", "database", "admin", "roles", "credentials"],
        optional=["port", "admin_password_file", "ca"],
    )
    port, password, ca = fields.get("port"), fields.get("admin_password_file"), fields.get("ca")
    roles = fields["roles"].texts()
    if len(roles) != 2 or roles[0] == roles[1]:
        fields["roles"].refuse(
            "response.secrets", "roles are two, which take turns", hint="[payments_a, payments_b]"
        )
    return PostgresSecret(
        host=fields["host"].text(),
        port=5432 if port is None else port.integer(1, 65535),
        database=fields["database"].text(),
        admin=fields["admin"].text(),
        admin_password=None if password is None else directory / password.text(),
        ca=None if ca is None else directory / ca.text(),
        roles=(roles[0], roles[1]),
        credentials=directory / fields["credentials"].text(),
        overlap_s=overlap_s,
    )


def _argv(node: Node) -> tuple[str, ...]:
    words = tuple(node.texts())
    if not words or not words[0].startswith("/"):
        node.refuse(
            "response.secrets", "a command is a list that begins with a program's path",
            hint='for example ["/usr/local/bin/rotate", "payments"]',
        )  # fmt: skip
    return words
