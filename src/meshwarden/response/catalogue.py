"""What each action is: what it needs, what undoes it, what proves it. What it does is elsewhere.

An action is carried out by `control.response.actions`, one file for each, which registers itself
under the name that stands here. Playbooks and guard rails are judged against this catalogue alone.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Reach(StrEnum):
    """What of the business an action touches: what guard rails weigh."""

    NOTHING = "nothing"  # looks, records, tells
    CREDENTIALS = "credentials"  # healthy peers go on with new ones
    INSTANCE = "instance"  # the suspect serves nobody while it holds


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSpec:
    """One kind of action.

    Attributes:
        name: as playbooks write it.
        summary: one sentence: what it does.
        reach: what it touches.
        needs: fields of the suspect without which it cannot work.
        permissions: what the process that carries it out must be able to do.
        inverse: what `release` does about it; "" = irreversible.
        probe: what shows that it worked, one sentence.
        after: actions that come earlier where a playbook has both.
        requires: actions without which it must not stand in a playbook.
    """

    name: str
    summary: str
    reach: Reach
    needs: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    inverse: str = ""
    probe: str
    after: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()

    @property
    def reversible(self) -> bool:
        """Whether `release` undoes it."""
        return bool(self.inverse)


_ALL: Final = (
    ActionSpec(
        name="notify",
        summary="Tells people and other systems, by signed webhook in OCSF.",
        reach=Reach.NOTHING,
        permissions=("the webhook's address",),
        inverse="tells that the incident is released",
        probe="the receiver answered 2xx",
    ),
    ActionSpec(
        name="throttle",
        summary="Lets the suspect send only so many requests a second, at its own sidecar.",
        reach=Reach.CREDENTIALS,
        needs=("service",),
        permissions=("control plane",),
        inverse="takes the limit away",
        probe="the sidecar confirmed the limit",
    ),
    ActionSpec(
        name="quarantine",
        summary="Cuts the instance off in both directions, on open connections too.",
        reach=Reach.INSTANCE,
        needs=("service", "identity"),
        permissions=("control plane", "network namespaces"),
        inverse="lets it back in",
        probe="nothing passes from the suspect to a peer, nor from a peer to the suspect",
    ),
    ActionSpec(
        name="revoke-svid",
        summary="Makes the certificates that the suspect holds worthless.",
        reach=Reach.INSTANCE,
        needs=("identity",),
        permissions=("control plane",),
        probe="a handshake with the revoked certificate is refused",
    ),
    ActionSpec(
        name="revoke-sessions",
        summary="Ends the customer sessions and transactions that the suspect held or carried.",
        reach=Reach.CREDENTIALS,
        needs=("session",),
        permissions=("control plane",),
        probe="a token of the session is refused",
    ),
    ActionSpec(
        name="snapshot",
        summary="Freezes the suspect and keeps what memory, files and sockets say.",
        reach=Reach.INSTANCE,
        needs=("service",),
        permissions=("ptrace", "the suspect's files"),
        inverse="thaws it",
        probe="the archive's manifest and signature verify",
        after=("quarantine",),
    ),
    ActionSpec(
        name="rotate-secrets",
        summary="Replaces the secrets that the suspect could read, with overlap for its peers.",
        reach=Reach.CREDENTIALS,
        needs=("service",),
        permissions=("the secrets' stores",),
        probe="the old secret is refused once the overlap is over",
        after=("quarantine", "snapshot"),
        requires=("quarantine",),  # a suspect at large would read the new ones too
    ),
    ActionSpec(
        name="replace",
        summary="Ends the suspect and starts a clean instance with a new identity.",
        reach=Reach.INSTANCE,
        needs=("service",),
        permissions=("control plane", "supervisor"),
        probe="the new instance is healthy and the old certificate is still refused",
        after=("quarantine", "snapshot", "revoke-svid", "rotate-secrets"),
        requires=("quarantine", "snapshot", "revoke-svid"),
    ),
)

CATALOGUE: Final = {spec.name: spec for spec in _ALL}
"""Every action by name."""
