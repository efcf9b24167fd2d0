"""The rules of one service as AuthorizationPolicy objects."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from meshwarden.kernel import SpiffeId
from meshwarden.policy.model import AccessPolicy, Rule, Service
from meshwarden.policy.targets.cluster import Cluster
from meshwarden.policy.targets.istio.paths import ANY, istio_paths
from meshwarden.policy.targets.istio.tokens import conditions, is_wildcard, jwt_rule, trouble
from meshwarden.policy.targets.manifest import Manifest, manifest, of_service
from meshwarden.policy.targets.unexpressed import Unexpressed

TARGET: Final = "istio"
API: Final = "security.istio.io/v1"
UNTYPED: Final = (
    "Istio does not check the type of a token (any that the issuer signed will do), nor that acr is"
    " one text and no list that holds it"
)
MAX_RULES: Final = 200
"""Rules in one object: the schema takes 512, an object of the API 1.5 MiB."""


@dataclass(slots=True)
class ServiceRules:
    """Translates what one service accepts, and keeps what cannot be said."""

    service: Service
    cluster: Cluster
    allow: list[dict[str, Any]] = field(default_factory=list)
    ask: list[dict[str, Any]] = field(default_factory=list)
    has_tokens: bool = False
    lost: list[Unexpressed] = field(default_factory=list)

    def translate(self) -> None:
        """Fill `allow`, `ask` and `lost`."""
        for rule in self.service.accepts:
            if rule.tcp is not None:
                self._add(rule.sources, [{"operation": {"ports": [str(rule.tcp)]}}])
            elif (operation := self._operation(rule)) is not None:
                self._add_request(rule, [{"operation": operation}])

    def _add_request(self, rule: Rule, to: list[dict[str, Any]]) -> None:
        token, issuer = rule.token, self.cluster.token_issuer
        if token is None:
            self._add(rule.sources, to)
            return
        if why := trouble(token, issuer, self.cluster.authorizer):
            self._lose(rule, why)
            return
        assert issuer is not None  # noqa: S101  # `trouble` says so
        self.has_tokens = True
        self._lose(rule, UNTYPED, wider=True)
        if token.once:
            self.ask.append({"to": to})
        for callers in [(each,) for each in rule.sources] if token.bound else [rule.sources]:
            caller = callers[0] if token.bound else None
            self._add(callers, to, [*conditions(token, issuer, caller)])

    def _add(
        self,
        sources: Iterable[SpiffeId],
        to: list[dict[str, Any]],
        when: Sequence[dict[str, Any]] = (),
    ) -> None:
        principals = [f"{source.trust_domain}{source.path}" for source in sources]
        made: dict[str, Any] = {"from": [{"source": {"principals": principals}}], "to": to}
        self.allow.append(made | ({"when": list(when)} if when else {}))

    def _operation(self, rule: Rule) -> dict[str, Any] | None:
        """Return the methods and paths; None where nothing is left of them."""
        methods = sorted(method for method in rule.methods or () if not is_wildcard(method))
        for method in sorted(rule.methods or ()):
            if is_wildcard(method):
                self._lose(rule, f"Istio would read the method {method} as a pattern: refused")
        paths: list[str] = [] if rule.paths is not None else [ANY]
        for pattern in rule.paths or ():
            found = istio_paths(pattern)
            if found is None:
                self._lose(rule, f"{pattern.text[:60]}... is too long a template: refused")
            paths += found or ()
        if not paths or (rule.methods is not None and not methods):
            return None
        return ({"methods": methods} if methods else {}) | {"paths": paths}

    def _lose(self, rule: Rule, what: str, *, wider: bool = False) -> None:
        self.lost.append(
            Unexpressed(target=TARGET, rule=rule.name, where=rule.where, what=what, wider=wider)
        )


def authorization_objects(
    policy: AccessPolicy, rules: ServiceRules, namespace: str
) -> Iterator[Manifest]:
    """Yield the policies of one service; where it accepts nothing, the namespace's refuses."""
    service, cluster = rules.service, rules.cluster
    selector = {"matchLabels": {cluster.pod_label: service.name}}
    for number, start in enumerate(range(0, len(rules.allow), MAX_RULES)):
        name = f"{service.name}.{number}" if number else service.name
        part = rules.allow[start : start + MAX_RULES]
        spec = {"selector": selector, "action": "ALLOW", "rules": part}
        yield of_service(manifest(API, "AuthorizationPolicy", name, namespace, spec), service)
    if rules.has_tokens and cluster.token_issuer is not None:
        spec = {"selector": selector, "jwtRules": [jwt_rule(policy, cluster.token_issuer)]}
        made = manifest(API, "RequestAuthentication", service.name, namespace, spec)
        yield of_service(made, service)
    if rules.ask:
        provider = {"name": cluster.authorizer}
        spec = {"selector": selector, "action": "CUSTOM", "provider": provider, "rules": rules.ask}
        name = f"{service.name}.once"
        yield of_service(manifest(API, "AuthorizationPolicy", name, namespace, spec), service)
