"""Opens the token service of a mesh: its policy file, its state, its clients."""

from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from meshwarden.adapters.envoy.authorizer.edge_routes import parse_edge_paths
from meshwarden.adapters.storage.tokens.database import Database
from meshwarden.adapters.storage.tokens.keys import shared_secret
from meshwarden.adapters.yaml import load_document
from meshwarden.control.tokens.keeping import Keeping
from meshwarden.control.tokens.service import TokenService
from meshwarden.control.tokens.subjects import Subjects
from meshwarden.control.tokens.weighing import Locate, RiskKeeper
from meshwarden.kernel import Clock, SpiffeId
from meshwarden.tokens import TokenPolicy, VerificationKey, parse_token_policy
from meshwarden.tokens.risk import Located, Namer


def load_token_policy(
    path: Path, *, trust_domain: str, services: Mapping[str, SpiffeId]
) -> TokenPolicy:
    """Return the issuance policy in a file; ConfigError or InputError."""
    policy = parse_token_policy(load_document(path), trust_domain=trust_domain, services=services)
    for access in policy.edges.values():
        parse_edge_paths(access)  # a pattern that no request can match is a mistake
    return policy


def open_tokens(
    policy: TokenPolicy,
    state: Path,
    *,
    clock: Clock,
    draw: Callable[[], str],
    client: httpx.AsyncClient,
    secret: bytes,
    workload_keys: Callable[[], Mapping[str, VerificationKey]] = dict,
    locate: Locate = lambda _: Located(),
) -> TokenService:
    """Return the token service on its state file; not yet running.

    Args:
        policy: issuance policy.
        state: the database file.
        clock: the time of day.
        draw: returns a fresh transaction id.
        client: fetches issuers' keys.
        secret: names what is kept of subjects, where the state has no secret yet.
        workload_keys: what verifies the trust domain's JWT-SVIDs, by `kid`.
        locate: what a database says about an address.

    Raises:
        StateError, DependencyError: where the state cannot be used.
    """
    database = Database(state)
    secret = shared_secret(database, "names", secret)
    keeping = Keeping(database=database, clock=clock, algorithm=lambda: service.policy.algorithm)
    subjects = Subjects(
        policy=lambda: service.policy,
        client=client,
        clock=clock,
        own_keys=keeping.published,
        workload_keys=workload_keys,
        revoked=lambda: keeping.revocations,
    )
    service = TokenService(
        policy=policy,
        database=database,
        clock=clock,
        draw=draw,
        keeping=keeping,
        subjects=subjects,
        risk=RiskKeeper(database=database, namer=Namer(secret), locate=locate),
    )
    return service
