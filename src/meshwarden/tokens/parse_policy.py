"""Turns `tokens.yaml` into a `TokenPolicy`, or says file, line, what is wrong and what to do."""

import difflib
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from meshwarden.kernel import InputError, Node, SpiffeId
from meshwarden.kernel.document import Fields
from meshwarden.tokens.jws import ALGORITHMS
from meshwarden.tokens.keys import ALGORITHM
from meshwarden.tokens.model import LIFETIME_S, MAX_LIFETIME_S, MIN_LIFETIME_S
from meshwarden.tokens.parse_edge import parse_edges
from meshwarden.tokens.policy import CONTEXT, Grant, Issuer, ScopeRule, TokenPolicy
from meshwarden.tokens.risk.model import RiskSettings

API_VERSION: Final = "meshwarden.dev/v1"
_SCOPE: Final = re.compile(r"[!#-\[\]-~]{1,128}")  # RFC 6749, section 3.3
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_MAX_DAY_S: Final = 86400


def parse_token_policy(
    document: Node, *, trust_domain: str, services: Mapping[str, SpiffeId]
) -> TokenPolicy:
    """Return the issuance policy in `document`.

    Args:
        document: the file.
        trust_domain: of the access policy; the audience of every token.
        services: identities by the names that the access policy gives them.

    Raises:
        InputError: at the first line that is wrong.
    """
    top = document.fields(
        required=["apiVersion", "issuer", "scopes", "clients"],
        optional=["issuers", "lifetime_s", "algorithm", "assurance", "context", "risk", "edge"],
    )
    if top["apiVersion"].value != API_VERSION:
        top["apiVersion"].refuse(
            "tokens.version", "unknown apiVersion", hint=f"write {API_VERSION}"
        )
    assurance, life, risk = top.get("assurance"), top.get("lifetime_s"), top.get("risk")
    context, issuers, edge = top.get("context"), top.get("issuers"), top.get("edge")
    levels = () if assurance is None else tuple(assurance.texts())
    scopes = {key: _scope(key, node) for key, node in top["scopes"].mapping().items()}
    clients = _clients(top["clients"], scopes, services)
    return TokenPolicy(
        trust_domain=trust_domain,
        issuer=_url(top["issuer"]),
        scopes=scopes,
        clients=clients,
        issuers={} if issuers is None else _issuers(issuers),
        lifetime_s=life.integer(MIN_LIFETIME_S, MAX_LIFETIME_S) if life else LIFETIME_S,
        algorithm=_algorithm(top.get("algorithm")),
        assurance=levels,
        context=CONTEXT if context is None else tuple(context.texts()),
        risk=None if risk is None else _risk(risk),
        edges={} if edge is None else parse_edges(edge.mapping(), clients, services),
    )


def _scope(name: str, node: Node) -> ScopeRule:
    if not _SCOPE.fullmatch(name):
        node.refuse("tokens.scope", f"{name[:40]!r} is no scope", hint="no space, quote, backslash")
    found = node.fields(optional=["covered_by", "acr", "max_age_s", "lifetime_s"])
    covered, acr = found.get("covered_by"), found.get("acr")
    age, life = found.get("max_age_s"), found.get("lifetime_s")
    return ScopeRule(
        covered_by=frozenset() if covered is None else frozenset(covered.texts()),
        acr=None if acr is None else acr.text(),
        max_age_s=age.integer(0, _MAX_DAY_S) if age else None,
        lifetime_s=life.integer(MIN_LIFETIME_S, MAX_LIFETIME_S) if life else None,
    )


def _clients(
    node: Node, scopes: Mapping[str, ScopeRule], services: Mapping[str, SpiffeId]
) -> dict[SpiffeId, Grant]:
    found: dict[SpiffeId, Grant] = {}
    for name, item in node.mapping().items():
        identity = _identity(name, item, services)
        if identity in found:
            item.refuse("tokens.client_twice", f"{name!r} stands twice")
        found[identity] = _grant(item, scopes)
    return found


def _identity(name: str, node: Node, services: Mapping[str, SpiffeId]) -> SpiffeId:
    if "://" in name:
        try:
            return SpiffeId.parse(name)
        except InputError as error:
            node.refuse(error.code, error.message, hint=error.hint)
    if name not in services:
        near = difflib.get_close_matches(name, services, n=1)
        node.refuse(
            "tokens.unknown_client",
            f"no service is called {name[:80]!r}",
            hint=f"did you mean {near[0]!r}?" if near else "name a service of the access policy",
        )
    return services[name]


def _grant(node: Node, scopes: Mapping[str, ScopeRule]) -> Grant:
    found = node.fields(required=["scopes"], optional=["own", "exchange", "replace"])
    granted = _known(found["scopes"], scopes)
    own, exchange, replace = found.get("own"), found.get("exchange"), found.get("replace")
    ours = frozenset() if own is None else _known(own, scopes)
    if own is not None and not ours <= granted:
        own.refuse("tokens.own", f"{own.path} names a scope that `scopes` does not")
    grant = Grant(
        scopes=granted,
        own=ours,
        exchange=exchange is not None and exchange.boolean(),
        replace=replace is not None and replace.boolean(),
    )
    if not (grant.own or grant.exchange or grant.replace):
        node.refuse(
            "tokens.no_way", f"{node.path} can get no token",
            hint="exchange: true (an edge), replace: true (a service inside), or own: [...]",
        )  # fmt: skip
    return grant


def _known(node: Node, scopes: Mapping[str, ScopeRule]) -> frozenset[str]:
    for item in node.items():
        if item.text() not in scopes:
            near = difflib.get_close_matches(item.text(), scopes, n=1)
            item.refuse(
                "tokens.unknown_scope",
                f"no scope is called {item.text()[:80]!r}",
                hint=f"did you mean {near[0]!r}?" if near else "list it under scopes",
            )
    return frozenset(node.texts())


def _issuers(node: Node) -> dict[str, Issuer]:
    found: dict[str, Issuer] = {}
    for item in node.items():
        one = _issuer(item)
        if one.issuer in found:
            item.refuse("tokens.issuer_twice", f"{one.issuer} stands twice")
        if any(one.prefix == other.prefix for other in found.values()):
            item.refuse(
                "tokens.prefix", "two issuers with one prefix: their subjects could be mixed up",
                hint="give each issuer but one a prefix of its own",
            )  # fmt: skip
        found[one.issuer] = one
    return found


def _issuer(node: Node) -> Issuer:
    found = node.fields(
        required=["issuer", "audience"],
        optional=["prefix", "algorithms", "jwks_url", "keys_max_age_s", "signals"],
    )
    prefix, algorithms, jwks = (found.get(key) for key in ("prefix", "algorithms", "jwks_url"))
    age, signals = found.get("keys_max_age_s"), found.get("signals")
    return Issuer(
        issuer=_url(found["issuer"]),
        audience=found["audience"].text(),
        prefix="" if prefix is None else prefix.text(),
        algorithms=frozenset(ALGORITHMS) if algorithms is None else _algorithms(algorithms),
        jwks_url=None if jwks is None else _url(jwks),
        keys_max_age_s=age.integer(10, 7 * _MAX_DAY_S) if age else 3600,
        signals=None if signals is None else _url(signals),
    )


def _algorithms(node: Node) -> frozenset[str]:
    for item in node.items():
        if item.text() not in ALGORITHMS:
            item.refuse("tokens.algorithm", f"{item.text()[:20]!r} is not taken",
                        hint=", ".join(ALGORITHMS))  # fmt: skip
    return frozenset(node.texts())


def _algorithm(node: Node | None) -> str:
    if node is None:
        return ALGORITHM
    if node.value not in {"ES256", "EdDSA", "RS256"}:
        node.refuse("tokens.algorithm", "tokens are not signed with that", hint="ES256 is best")
    return node.text()


def _risk(node: Node) -> RiskSettings:
    found = node.fields(
        optional=["step_up", "deny", "acr", "max_age_s", "amount", "payee", "history_days"]
    )
    default = RiskSettings()
    settings = RiskSettings(
        step_up=_number(found, "step_up", default.step_up),
        deny=_number(found, "deny", default.deny),
        acr=_text(found, "acr", default.acr or ""),
        max_age_s=found["max_age_s"].integer(1, _MAX_DAY_S) if "max_age_s" in set(found) else 300,
        amount=_text(found, "amount", default.amount),
        payee=_text(found, "payee", default.payee),
        history_days=found["history_days"].integer(1, 400) if "history_days" in set(found) else 90,
    )
    if settings.deny <= max(settings.step_up, 0):
        node.refuse("tokens.risk", "deny must be greater than step_up, and than 0")
    return settings


def _number(found: Fields, key: str, default: float) -> float:
    node = found.get(key)
    return default if node is None else node.number(-50, 50)


def _text(found: Fields, key: str, default: str) -> str:
    """Return an optional text field."""
    node = found.get(key)
    return default if node is None else node.text()


def _url(node: Node) -> str:
    try:
        parts = urlsplit(node.text())
        inside = parts.scheme == "http" and parts.hostname in _LOOPBACK
        usable = (parts.scheme == "https" or inside) and parts.hostname and parts.username is None
        usable = usable and not parts.fragment and not parts.query and (parts.port or 443) > 0
    except ValueError:
        usable = None
    if not usable:
        node.refuse(
            "tokens.url", f"{node.path} is no https URL without user, query and fragment",
            hint="http is for this machine alone (127.0.0.1)",
        )  # fmt: skip
    return node.text()
