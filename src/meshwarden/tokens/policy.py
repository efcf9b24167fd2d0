"""Issuance policy: which workload may ask for which scopes, on which kind of subject.

Nothing is issued that no entry allows: a scope that is not listed, a workload that is not listed,
an issuer that is not listed are refused. The file is `tokens.yaml` beside the access policy; which
rule of which service demands a token stands in the access policy itself (`token:`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from meshwarden.kernel import SpiffeId
from meshwarden.tokens.edge import EdgeAccess
from meshwarden.tokens.jws import ALGORITHMS
from meshwarden.tokens.keys import ALGORITHM
from meshwarden.tokens.model import LIFETIME_S
from meshwarden.tokens.risk.model import RiskSettings

CONTEXT: Final = ("req_ip", "authn", "transport", "channel")
"""Members of the requester's context that go into `rctx`; risk reads all, tokens carry few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """An identity provider whose access tokens are taken.

    Attributes:
        issuer: its `iss`, exactly.
        audience: what its tokens must be meant for.
        prefix: put before its subjects, so that those of two issuers never meet.
        algorithms: what it signs with.
        jwks_url: where its keys are; None: where its discovery document says.
        keys_max_age_s: how long its keys are used while they cannot be fetched again.
        signals: `iss` of its Shared Signals transmitter; None: the same as `issuer`.
    """

    issuer: str
    audience: str
    prefix: str = ""
    algorithms: frozenset[str] = frozenset(ALGORITHMS)
    jwks_url: str | None = None
    keys_max_age_s: int = 3600
    signals: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeRule:
    """What one scope demands.

    Attributes:
        covered_by: scopes of a subject token that include it; it includes itself always.
        acr: the assurance that the subject needs; None: any.
        max_age_s: how long ago the subject may have proved themselves; None: any time.
        lifetime_s: how long tokens with it live; None: as the policy says.
    """

    covered_by: frozenset[str] = frozenset()
    acr: str | None = None
    max_age_s: int | None = None
    lifetime_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What one workload may ask for.

    Attributes:
        scopes: all that it may get.
        own: of these, what it may get for work that it starts itself.
        exchange: whether it may bring access tokens (an edge does).
        replace: whether it may have transaction tokens replaced.
    """

    scopes: frozenset[str]
    own: frozenset[str] = frozenset()
    exchange: bool = False
    replace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPolicy:
    """The issuance policy of one trust domain.

    Attributes:
        trust_domain: the audience of its tokens.
        issuer: the token service's own name, a URL.
        scopes: every scope that there is.
        clients: what each workload may ask for.
        issuers: by `iss`.
        lifetime_s: how long tokens live at no risk.
        algorithm: what they are signed with.
        assurance: levels of `acr`, the weakest first.
        context: members of the requester's context that go into `rctx`.
        risk: how the risk of a request is judged; None: it is not.
        edges: what each edge lets in; of one that is not here its service decides.
    """

    trust_domain: str
    issuer: str
    scopes: Mapping[str, ScopeRule]
    clients: Mapping[SpiffeId, Grant]
    issuers: Mapping[str, Issuer] = field(default_factory=dict)
    lifetime_s: int = LIFETIME_S
    algorithm: str = ALGORITHM
    assurance: tuple[str, ...] = ()
    context: tuple[str, ...] = CONTEXT
    risk: RiskSettings | None = None
    edges: Mapping[SpiffeId, EdgeAccess] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("scopes", "clients", "issuers", "edges"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def satisfies(self, acr: str | None, wanted: str | None) -> bool:
        """Return whether the assurance `acr` is at least `wanted`; unknown levels only equal."""
        if wanted is None or acr == wanted:
            return True
        if acr not in self.assurance or wanted not in self.assurance:
            return False
        return self.assurance.index(acr) >= self.assurance.index(wanted)
