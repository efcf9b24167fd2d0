"""What the control plane says about itself: one frozen value, the API's and the demo's source."""

from dataclasses import dataclass

from meshwarden.control.recording import Figures
from meshwarden.control.watching import WatchFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarStatus:
    """One sidecar.

    Attributes:
        service: whose it is.
        connected: whether it has a configuration stream open.
        pending: resources that it has not answered yet.
        refused: resources of which it refused the current version, with its reason.
        not_enforced: policy filters that it does not run as the policy compiles to now.
        expires: when its SVID ends, RFC 3339 UTC.
        renews_in_s: seconds until its SVID is renewed.
    """

    service: str
    connected: bool
    pending: list[str]
    refused: dict[str, str]
    not_enforced: list[str]
    expires: str
    renews_in_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The whole plane.

    Attributes:
        trust_domain: the mesh's.
        policy: SHA-256 of the policy file in force.
        policy_error: why the file as it stands now is not in force; None where it is.
        sidecars: each sidecar, in the order of the mesh file.
        calls: live figures of the recorded calls.
        watch: live figures of the watch over behaviour; None where nothing is watched.
    """

    trust_domain: str
    policy: str
    policy_error: str | None
    sidecars: tuple[SidecarStatus, ...]
    calls: Figures
    watch: WatchFigures | None
