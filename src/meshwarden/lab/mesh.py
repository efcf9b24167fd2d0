"""Writes the sample bank's `mesh.yaml`: which processes run, in which order, with which settings.

The same bank runs with its ledger on PostgreSQL (a `tcp` service of the mesh) or on SQLite in the
ledger's process. The database's password stands in the document, because the two services that need
it may run under different users: write the document with mode 0600, best with a fresh password.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Final

import yaml

from meshwarden.kernel import ConfigError

ACCESS_POLICY: Final = Path(__file__).parent / "bank" / "access.yaml"
TOKEN_SERVICE: Final = "token-service"  # noqa: S105  # a name
_TOKEN_POLICY: Final = Path(__file__).parent / "bank" / "tokens.yaml"
HTTP_SERVICES: Final = (
    "notifications", "aml", "ledger", "accounts", "payments", "scoring", "idp", "gateway",
)  # fmt: skip
CARD_NETWORK_HOST: Final = "api.cardnetwork.example"


_FOOTHOLD: Final = Path(__file__).parent / "attacks" / "foothold.py"
TOKENS: Final = {"BANK_TOKENS": f"http://{TOKEN_SERVICE}"}


class _Quoted(str):
    """A text that no YAML reader may take for a number, a truth value or null."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Quoted,
    lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"'),
)


def render_mesh(  # noqa: PLR0913  # each is one line of the file
    *,
    python: str,
    edge_port: int,
    card_network: str,
    policy: str = str(ACCESS_POLICY),
    customers: int = 500,
    seed: str = "meshwarden",
    database_password: str | None = None,
    database_user: str | None = None,
    holes_in: Collection[str] = (),
) -> str:
    """Return the text of `mesh.yaml`, beside which `tokens.yaml` (`render_tokens`) stands.

    Args:
        python: the interpreter that starts the services.
        edge_port: port on 127.0.0.1 where customers reach the gateway.
        card_network: `address:port` where the card network outside the mesh answers.
        policy: path of the access policy, absolute or relative to the document's folder.
        customers: how many customers the bank has.
        seed: what names, accounts and secrets are derived from; the load must use the same.
        database_password: with it the ledger runs on PostgreSQL, without it on SQLite.
        database_user: the user that PostgreSQL runs under when the mesh is started as root.
        holes_in: services that an attacker may start processes in (`attacks.foothold`).
    """
    population = {"BANK_CUSTOMERS": str(customers), "BANK_SEED": seed}
    issuer = {"BANK_ISSUER": issuer_of(edge_port)}
    environment: dict[str, dict[str, str]] = {
        "accounts": population,
        "ledger": population,
        "aml": {},
        "idp": population | issuer,
        "payments": TOKENS,
        "scoring": TOKENS,
    }
    services: dict[str, dict[str, object]] = {}
    if database_password is not None:
        secret = {"BANK_DATABASE_PASSWORD": database_password}
        services["ledger-db"] = _service(python, "ledger_db", secret, start_timeout_s=60)
        if database_user is not None:
            services["ledger-db"]["user"] = database_user
        environment["ledger"] = population | secret
    elif database_user is not None:
        raise ConfigError(
            "lab.database", "a database user without a database password", hint="give both"
        )
    for name in HTTP_SERVICES:
        services[name] = _service(python, name, environment.get(name, {}), health="/healthz")
    if "ledger-db" in services:
        services["ledger"] |= {"after": ["ledger-db"], "start_timeout_s": 90}
    for name in holes_in:
        services[name]["command"] = [
            _Quoted(python),
            "-I",
            "-S",
            str(_FOOTHOLD),
            *_command(python, name),
        ]
    services["gateway"] |= {"after": ["idp", "accounts", "payments", "scoring"], "edge": edge_port}
    document = {
        "apiVersion": "meshwarden.dev/v1",
        "policy": _Quoted(policy),
        "tokens": {"policy": "tokens.yaml", "service": TOKEN_SERVICE},
        "services": services,
        "outside": {CARD_NETWORK_HOST: _Quoted(card_network)},
    }
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def render_tokens(*, edge_port: int) -> str:
    """Return the text of the bank's `tokens.yaml`."""
    return _TOKEN_POLICY.read_text(encoding="utf-8").replace("{issuer}", issuer_of(edge_port))


def issuer_of(edge_port: int) -> str:
    """Return what the bank's identity provider calls itself."""
    return f"http://127.0.0.1:{edge_port}/idp"


def _service(
    python: str, module: str, environment: dict[str, str], **more: object
) -> dict[str, object]:
    service: dict[str, object] = {
        "command": _command(python, module),
        "socket": True,
        **more,
    }
    if environment:
        service["environment"] = {key: _Quoted(value) for key, value in environment.items()}
    return service


def _command(python: str, service: str) -> list[str]:
    return [_Quoted(python), "-m", f"meshwarden.lab.bank.{service}"]
