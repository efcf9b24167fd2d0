"""A mesh against its policy: who runs must be known there, who is called must listen."""

import difflib

from meshwarden.control.mesh.model import Mesh, MeshService
from meshwarden.kernel import ConfigError
from meshwarden.policy import AccessPolicy, Service


def check_against(mesh: Mesh, policy: AccessPolicy) -> None:
    """Refuse a mesh that its policy does not know.

    Raises:
        ConfigError: `mesh.not_in_policy`, `mesh.edge_not_in_policy`, `mesh.listens_nowhere`,
            `mesh.no_tokens` or `mesh.not_federated`.
    """
    for service in mesh.services.values():
        known = policy.services.get(service.name)
        if known is None:
            raise _unknown(mesh, service, policy)
        _check_listening(mesh, service, known)
        _check_egress(mesh, known)
        _check_tokens(mesh, known)


def _unknown(mesh: Mesh, service: MeshService, policy: AccessPolicy) -> ConfigError:
    near = difflib.get_close_matches(service.name, list(policy.services), n=1)
    return ConfigError(
        "mesh.not_in_policy",
        f"{service.where}: service {service.name!r} is not in the policy {mesh.policy_path}",
        hint=f"did you mean {near[0]!r}?" if near else "add it there with its identity",
    )


def _check_listening(mesh: Mesh, service: MeshService, known: Service) -> None:
    name = service.name
    if service.edge is not None and not known.edge:
        raise ConfigError(
            "mesh.edge_not_in_policy",
            f"{service.where}: {name!r} has an edge port, but its policy has no `edge: true`",
            hint=f"add `edge: true` to {name!r} in {mesh.policy_path}, or remove the port",
        )
    if known.accepts and not service.listens:
        raise ConfigError(
            "mesh.listens_nowhere",
            f"{service.where}: the policy lets others call {name!r}, but it listens nowhere",
            hint="add `socket: true` or `port: N`",
        )


def _check_tokens(mesh: Mesh, known: Service) -> None:
    demanding = next((rule for rule in known.accepts if rule.token), None)
    if demanding is not None and mesh.tokens is None:
        raise ConfigError(
            "mesh.no_tokens",
            f"{demanding.where or demanding.name}: the rule demands a transaction token, but the"
            " mesh has no token service, so that it would refuse every call",
            hint="add `tokens: {policy: tokens.yaml}` to the mesh file",
        )


def _check_egress(mesh: Mesh, service: Service) -> None:
    """Refuse an identity to be proven that no bundle of this mesh can prove."""
    domains = {domain.trust_domain for domain in mesh.federation}
    for egress in service.egress:
        if egress.identity is not None and egress.identity.trust_domain not in domains:
            raise ConfigError(
                "mesh.not_federated",
                f"{service.name} is to call {egress.identity} at {egress.host}, and"
                f" {egress.identity.trust_domain} is not federated",
                hint="add it to `federation` in the mesh file",
            )
