"""Names that the record of calls takes from the policy: services by host, routes by rule."""

from meshwarden.adapters.envoy.accesslog_call import Naming
from meshwarden.behaviour.routes import route_by_form
from meshwarden.policy import AccessPolicy, PathPattern, normalize_path
from meshwarden.policy.targets.envoy.patterns import path_expression


def naming_of(policy: AccessPolicy) -> Naming:
    """Return how calls under `policy` are named.

    A call that a rule allowed has the route of the rule's pattern; any other has its path, with
    what looks like an identifier replaced.
    """
    patterns = {
        rule.name: rule.paths
        for service in policy.services.values()
        for rule in service.accepts
        if rule.paths
    }

    def _route(destination: str, rule: str | None, path: str) -> str:  # noqa: ARG001  # the port's
        clean = normalize_path(path)
        for pattern in patterns.get(rule or "", ()):
            if clean is not None and pattern.matches(clean):
                return _template(pattern)
        return route_by_form(path)

    templates = {
        rule: tuple((path_expression(pattern), _template(pattern)) for pattern in those)
        for rule, those in patterns.items()
    }
    services = {name: str(service.identity) for name, service in policy.services.items()}
    return Naming(
        services=services, route=_route, templates=lambda rule: templates.get(rule or "", ())
    )


def _template(pattern: PathPattern) -> str:
    """Return the pattern with its placeholders unnamed.

    >>> _template(PathPattern.parse("/v1/accounts/{id}/**"))
    '/v1/accounts/{}/**'
    """
    segments = ("{}" if segment is None else segment for segment in pattern.segments)
    return "/" + "/".join(segments) + ("/**" if pattern.rest else "")
