"""What the verification of transaction tokens costs in the proxy, and what our policy adds to it.

    python -m benchmarks.verification [--quick] [--rounds N] [--seconds S] [--json]

Behind one Envoy worker under mutual TLS 1.3, with 2,000 rules that all demand a token: mutual TLS
alone; Envoy's `jwt_authn` alone (signature, issuer, audience, life); the same handing on header and
claims, without which nothing can ask about scope, assurance or binding; with that our compiled
tree; with that everything that a hop of the mesh asks (containment too). Each with a different
token on each request (8,000 of them by turns, the proxy remembers 1,000), and with tokens that are
repeated (one for each connection).

As in `benchmarks.authorization`: closed loop on 100 connections, Envoy alone on its core, an
application behind it. Next to each run, before it in one round and after it in the next, is one of
what it is compared with. Before anything is measured, each variant has to let pass and refuse what
it should.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from cryptography import x509
from google.protobuf.json_format import MessageToDict

from benchmarks.authorization import CONNECTIONS, SEED, Cores, choose_cores
from benchmarks.client import Callers, issue_callers, run_load, status_of
from benchmarks.load import Job
from benchmarks.machine import describe_machine
from benchmarks.proxy import Proxy, running_proxy
from benchmarks.workload import (
    CALLEE,
    TRUST_DOMAIN,
    compiled_tree,
    draw_requests,
    make_grants,
)
from meshwarden.adapters.envoy.containment import Containment, containment_resource, peer_filter
from meshwarden.adapters.envoy.verification import Verification, verification_resource
from meshwarden.identity import create_authority, create_root, issue_svid
from meshwarden.kernel import DependencyError, MeshwardenError
from meshwarden.policy import TokenRequirement
from meshwarden.policy.targets.envoy.token_headers import FIELDS, HEADERS, Handed
from meshwarden.policy.targets.envoy.token_metadata import PROVIDER_FIELDS
from meshwarden.tokens import SigningKey, create_key, render_jwks
from meshwarden.tokens.jws import sign_compact

RULES: Final = 2_000
CALLERS: Final = 50
DISTINCT: Final = 8_000
LIFE_S: Final = 300
TARGET: Final = 0.95
ISSUER: Final = "https://token-service.bench.example"
SCOPE: Final = "ledger:post"
BARE: Final = "mutual TLS"
ALONE: Final = "jwt_authn"
CLAIMS: Final = "jwt_authn, claims handed on"
TREE: Final = "that and our tree"
HOP: Final = "all that a hop asks"
METADATA: Final = "the same by metadata, as any Envoy can"
KINDS: Final = ("distinct", "repeated")
PAIRS: Final = (
    (BARE, BARE), (ALONE, BARE), (CLAIMS, ALONE), (TREE, CLAIMS), (TREE, ALONE), (HOP, ALONE),
)  # fmt: skip
"""What is measured, and what it is compared with."""

_Filters = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: requests a second, and Envoy's processor time for each of them in microseconds."""

    per_s: float
    envoy_us: float
    others_busy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that runs while it is measured."""

    proxy: Proxy
    application: Path
    callers: Callers
    requests: Mapping[str, list[str]]
    key: SigningKey
    cores: Cores
    answers: bool

    def tokens(self, number: int) -> list[str]:
        """Return as many different tokens, which live for five minutes from now on."""
        now = int(time.time())
        life = {"iat": now, "exp": now + LIFE_S}
        who = {"iss": ISSUER, "aud": TRUST_DOMAIN, "req_wl": str(CALLEE), "acr": "mfa"}
        found = []
        for index in range(number):
            own = {"sub": f"customer-{index}", "sid": f"{index:032x}", "scope": SCOPE}
            claims = life | who | own | {"txn": f"{time.time_ns():016x}{index:016x}"}
            token = sign_compact(
                claims, self.key.jose, algorithm="ES256", kid=self.key.kid, typ="txntoken+jwt"
            )
            found.append(token.reveal())
        return found


def main() -> int:
    """Run the benchmark; return 0, or 3 where it could not measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: does it work")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.8)
    parser.add_argument("--json", action="store_true", help="every figure of every round")
    options = parser.parse_args()
    rounds, seconds = (1, 0.5) if options.quick else (options.rounds, options.seconds)
    machine = describe_machine()
    try:
        with tempfile.TemporaryDirectory(prefix="mw-") as name, staged(Path(name)) as stage:
            require_enforcement(stage)
            measured = [one_round(stage, number, seconds) for number in range(rounds)]
    except MeshwardenError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 3
    if options.json:
        print(json.dumps({"machine": machine, "rounds": measured}, indent=1, default=asdict))
    else:
        print("\n".join(render(measured, machine)))
    return 0


@contextmanager
def staged(directory: Path, under: Sequence[str] = ()) -> Iterator[Stage]:
    """Run an Envoy with all variants below `directory`; `under` valgrind it answers by itself."""
    now, cores = datetime.now(UTC), choose_cores()
    root = create_root(TRUST_DOMAIN, now=now, serial=x509.random_serial_number())
    authority = create_authority(root, now=now, serial=x509.random_serial_number())
    grants, key = make_grants(RULES, CALLERS), create_key(now)
    token = TokenRequirement(scopes=(SCOPE,))
    trees = {handed: compiled_tree(grants, token, handed) for handed in Handed}
    application = directory / "application.sock"
    proxy = running_proxy(
        directory,
        filters=filters_of(key, trees),
        application=None if under else application,
        under=under,
        dropped={name: list(HEADERS.values()) for name in (CLAIMS, TREE, HOP)},
        authorizers={},
        authority=authority,
        svid=issue_svid(authority, CALLEE, now=now, serial=x509.random_serial_number()),
        core=cores.proxy,
    )
    identities = sorted({grant.caller for grant in grants})
    with proxy as running:
        yield Stage(
            proxy=running,
            application=application,
            callers=issue_callers(authority, identities, directory, now=now),
            requests=draw_requests(grants, seed=SEED),
            key=key,
            cores=cores,
            answers=bool(under),
        )


def filters_of(key: SigningKey, trees: Mapping[Handed, dict[str, Any]]) -> dict[str, _Filters]:
    """Return the filters of each variant."""
    tree = trees[Handed.HEADERS]
    keys = render_jwks([key.public])
    verification = _typed(
        verification_resource(Verification(issuer=ISSUER, audience=TRUST_DOMAIN, keys=keys))
    )
    contained = _typed(containment_resource(Containment()))
    return {
        BARE: [],
        ALONE: [_plain(verification)],
        CLAIMS: [verification],
        TREE: [verification, tree],
        HOP: [verification, _typed(peer_filter()), contained, tree],
        METADATA: [_plain(verification, PROVIDER_FIELDS), trees[Handed.METADATA]],
    }


def _typed(message: Any) -> dict[str, Any]:  # noqa: ANN401  # whatever has a typed configuration
    found: dict[str, Any] = MessageToDict(message.typed_config, preserving_proto_field_name=True)
    return found


def _plain(verification: dict[str, Any], more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the filter as one has it who asks nothing of tokens but that they are right.

    `more` are fields of its provider.
    """
    name, provider = next(
        (name, one) for name, one in verification["providers"].items() if "audiences" in one
    )
    kept = {field: value for field, value in provider.items() if field not in FIELDS}
    kept |= more or {}
    rule = {"match": {"prefix": "/"}, "requires": {"provider_name": name}}
    return verification | {"providers": {name: kept}, "rules": [rule]}


def require_enforcement(stage: Stage) -> None:
    """DependencyError `benchmark.enforcement` where a variant does not answer as it should.

    Where the application is not there yet, what passes gets 503.
    """
    [token] = stage.tokens(1)
    caller, requests = next(iter(stage.requests.items()))
    passes = 200 if stage.answers else 503
    verified = (ALONE, CLAIMS, TREE, HOP, METADATA)
    asked = [(name, token, passes) for name in (BARE, *verified)]
    asked += [(name, f"{token[:-4]}AAAA", 401) for name in verified]
    asked += [(name, "", 403) for name in (TREE, HOP)] + [
        (name, "", 401) for name in (ALONE, METADATA)
    ]
    for name, held, wanted in asked:
        port = stage.proxy.ports[name]
        status = status_of(port, stage.callers, caller, requests[0], held)
        if status != wanted:
            raise DependencyError(
                "benchmark.enforcement", f"{name} answered {status} instead of {wanted}"
            )


def one_round(stage: Stage, number: int, seconds: float) -> dict[str, dict[str, list[Run]]]:
    """Return, by kind of tokens and pair, the run of its first and that of its second."""
    found: dict[str, dict[str, list[Run]]] = {kind: {} for kind in KINDS}
    turn = number % len(PAIRS)
    for kind in KINDS:
        tokens = stage.tokens(DISTINCT if kind == "distinct" else CONNECTIONS)
        for pair in PAIRS[turn:] + PAIRS[:turn]:
            print(f"benchmark: round {number + 1}, {kind} tokens: {pair[0]}", file=sys.stderr)
            order = pair if number % 2 else pair[::-1]
            runs = [load(stage, name, tokens, seconds) for name in order]
            found[kind][_title(pair)] = runs if number % 2 else runs[::-1]
    return found


def _title(pair: tuple[str, str]) -> str:
    return " beside ".join(pair)


def load(stage: Stage, variant: str, tokens: Sequence[str], seconds: float) -> Run:
    """Return what one variant carries; DependencyError `benchmark.load`."""
    files = stage.callers.files
    outcome = run_load(
        Job(
            port=stage.proxy.ports[variant],
            application=str(stage.application),
            bundle=stage.callers.bundle,
            callers=[(str(files[who]), own) for who, own in stage.requests.items()],
            connections=CONNECTIONS,
            warm_up_s=0.3,
            seconds=seconds,
            rate_per_s=0,
            processes={"envoy": stage.proxy.pid},
            core=stage.cores.client,
            spin=True,
            tokens=tokens,
        )
    )
    if not outcome.requests:
        raise DependencyError("benchmark.load", f"{variant}: no request was answered")
    return Run(
        per_s=outcome.requests / outcome.seconds,
        envoy_us=outcome.processor_s["envoy"] / outcome.requests * 1e6,
        others_busy=outcome.processor_s["others"] / outcome.seconds,
    )


def render(rounds: Sequence[Mapping[str, Any]], machine: Mapping[str, str]) -> Iterator[str]:
    """Yield the report as Markdown."""
    yield "| tokens | | requests/s | beside | Envoy us/request | throughput beside it |"
    yield "| --- | --- | ---: | --- | ---: | ---: |"
    for kind in KINDS:
        for name, beside in PAIRS:
            runs = [one[kind][_title((name, beside))] for one in rounds]
            per_s = median(own.per_s for own, _ in runs)
            cost = median(own.envoy_us for own, _ in runs)
            share = spread([own.per_s / other.per_s for own, other in runs])
            yield f"| {kind} | {name} | {per_s:,.0f} | {beside} | {cost:.1f} | {share} |"
    others = [
        run.others_busy for one in rounds for k in KINDS for p in one[k].values() for run in p
    ]
    yield ""
    yield (
        f"Medians of {len(rounds)} rounds, in brackets the quartiles; {RULES:,} rules; other"
        f" processes used {median(others):.2f} cores meanwhile."
    )
    yield "; ".join(f"{name} {value}" for name, value in machine.items())
    for beside in (CLAIMS, ALONE):
        kept = [(kind, _kept(rounds, kind, (TREE, beside))) for kind in KINDS]
        said = ", ".join(f"{share:.1%} with {kind} tokens" for kind, share in kept)
        yield f"Our tree keeps of {beside}: {said} (target {TARGET:.0%})."


def _kept(rounds: Sequence[Mapping[str, Any]], kind: str, pair: tuple[str, str]) -> float:
    runs = [one[kind][_title(pair)] for one in rounds]
    kept: float = median(own.per_s / other.per_s for own, other in runs)
    return kept


def spread(found: Sequence[float]) -> str:
    """Return the median with the quartiles."""
    if len(found) == 1:
        return f"{found[0]:.3f}"
    low, middle, high = quantiles(found, method="inclusive")
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    sys.exit(main())
