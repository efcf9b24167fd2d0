"""Confirms a replay's verdicts: requests like the recorded ones, through a real Envoy.

The proxy carries the candidate as a sidecar would. Callers get certificates of a throw-away
authority, made for this run in a folder that is removed with it. Only what Envoy decides alone is
tried: no egress, no rule with a token.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from meshwarden.adapters.chance import SystemChance
from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.envoy.trial import TrialListener, trial_bootstrap
from meshwarden.adapters.envoy.trial_client import (
    client_context,
    connection_passes,
    request_passes,
    running_trial,
)
from meshwarden.identity import Authority, create_authority, create_root, issue_svid
from meshwarden.kernel import SpiffeId
from meshwarden.policy import AccessPolicy, Connection, HttpRequest
from meshwarden.policy.targets.envoy import compile_http_filter, compile_network_filter
from meshwarden.policy.traffic import Replay, Verdict
from meshwarden.policy.traffic.replay import asked_of

_HTTP: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """One question and the verdict that is to be confirmed."""

    asked: HttpRequest | Connection
    allowed: bool
    name: str

    @property
    def port(self) -> int:
        """The port of a connection; `_HTTP` for a request."""
        return self.asked.port if isinstance(self.asked, Connection) else _HTTP


def confirm_replay(replay: Replay, most: int) -> tuple[int, tuple[str, ...]]:
    """Return how many of at most `most` verdicts Envoy confirms, and those that it does not.

    Refusals and permissions are tried alternately, what changes first.

    Raises:
        DependencyError: `envoy.trial` where the proxy does not start or does not answer.
    """
    trials = _choose(replay, most)
    if not trials:
        return 0, ()
    with tempfile.TemporaryDirectory(prefix="mw-") as folder:
        differing = tuple(_run(replay.candidate, trials, Path(folder)))
    return len(trials) - len(differing), differing


def _choose(replay: Replay, most: int) -> list[_Trial]:
    changed = {id(row.seen) for row in (*replay.newly_refused, *replay.newly_allowed)}
    rows = sorted(replay.judged, key=lambda row: id(row.seen) not in changed)
    tokens = {
        service.name for service in replay.candidate.services.values()
        if any(rule.token for rule in service.accepts)
    }  # fmt: skip
    found: dict[bool, list[_Trial]] = {True: [], False: []}
    for row in rows:
        asked = asked_of(row.seen)
        if asked is None or row.judgement.verdict is Verdict.UNDECIDED:
            continue
        callee = replay.candidate.service_with(asked.destination)
        if callee is None or callee.name in tokens:
            continue
        allowed = row.judgement.verdict is Verdict.ALLOWED
        found[allowed].append(_Trial(asked=asked, allowed=allowed, name=row.seen.name))
    half = max(most - len(found[True]), most // 2)
    refused = found[False][:half]
    return refused + found[True][: most - len(refused)]


def _run(policy: AccessPolicy, trials: Sequence[_Trial], folder: Path) -> Iterator[str]:
    doors = sorted({(trial.asked.destination, trial.port) for trial in trials})
    listeners = {
        door: _listener(policy, *door, folder / f"{number}.sock")
        for number, door in enumerate(doors)
    }
    papers = _Papers(folder)
    own = papers.of(trials[0].asked.destination)
    for trial in trials:
        papers.of(trial.asked.source)
    roots = papers.write_roots()
    bootstrap = trial_bootstrap(
        list(listeners.values()), certificate=own[0], key=own[1], roots=roots
    )
    with running_trial(folder, bootstrap, [each.socket for each in listeners.values()]):
        for trial in trials:
            context = client_context(*papers.of(trial.asked.source), roots)
            socket = listeners[trial.asked.destination, trial.port].socket
            if isinstance(trial.asked, Connection):
                passes = connection_passes(socket, context)
            else:
                asked = trial.asked
                passes = request_passes(socket, context, asked.method, asked.path)
            if passes != trial.allowed:
                yield f"{trial.name}: {'allowed' if passes else 'refused'}"


def _listener(
    policy: AccessPolicy, destination: SpiffeId, port: int, socket: Path
) -> TrialListener:
    name = policy.name_of(destination)
    if port == _HTTP:
        return TrialListener(socket=socket, guard=compile_http_filter(policy, name), http=True)
    guard = compile_network_filter(policy, name, port)
    return TrialListener(socket=socket, guard=guard, http=False)


@dataclass(slots=True)
class _Papers:
    """Certificates of throw-away authorities, one for each trust domain."""

    folder: Path
    authorities: dict[str, Authority] = field(default_factory=dict)
    files: dict[SpiffeId, tuple[Path, Path]] = field(default_factory=dict)

    def of(self, identity: SpiffeId) -> tuple[Path, Path]:
        """Return the files of certificate and key of `identity`."""
        if identity not in self.files:
            chance, now = SystemChance(), SystemClock().now()
            authority = self.authorities.get(identity.trust_domain)
            if authority is None:
                root = create_root(identity.trust_domain, now=now, serial=chance.serial())
                authority = create_authority(root, now=now, serial=chance.serial())
                self.authorities[identity.trust_domain] = authority
            svid = issue_svid(authority, identity, now=now, serial=chance.serial())
            stem = self.folder / str(len(self.files))
            files = (stem.with_suffix(".pem"), stem.with_suffix(".key"))
            files[0].write_text(svid.certificate_chain, encoding="ascii")
            files[1].write_text(svid.private_key.reveal(), encoding="ascii")
            self.files[identity] = files
        return self.files[identity]

    def write_roots(self) -> Path:
        """Return the file of all roots."""
        path = self.folder / "roots.pem"
        pems = [authority.bundle.pem for authority in self.authorities.values()]
        path.write_text("".join(pems), encoding="ascii")
        return path
