"""`GET /metrics` of the control plane's own API: its counters, for Prometheus.

Whoever may open the API's socket may read them, as everything else there. No label carries what a
stranger chose: outcomes, codes, layers and states are ours.
"""

from collections import Counter
from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from meshwarden.console.exposition import CONTENT_TYPE, Family, Kind, render_metrics
from meshwarden.control.plane import ControlPlane
from meshwarden.control.response.responding import Responding
from meshwarden.response import IncidentState


def metrics_routes(plane: ControlPlane, response: Responding | None) -> list[Route]:
    """Return the route that shows the counters of `plane`, and of its incidents where it has."""

    async def _show(_: Request) -> Response:
        return Response(render_metrics(_families(plane, response)), media_type=CONTENT_TYPE)

    return [Route("/metrics", _show)]


def _families(plane: ControlPlane, response: Responding | None) -> Iterator[Family]:
    yield from _sidecars(plane)
    yield from _calls(plane)
    yield from _watch(plane)
    yield Family(
        name="meshwarden_findings_total",
        kind=Kind.COUNTER,
        help="Findings told since the control plane started, alarms of the watch included.",
        label="code",
        values=dict(sorted(plane.teller.told.items())),
    )
    if plane.tokens is not None:
        yield Family(
            name="meshwarden_token_requests_total",
            kind=Kind.COUNTER,
            help="Requests for tokens: issued, or refused by reason.",
            label="outcome",
            values=dict(sorted(plane.tokens.service.outcomes.items())),
        )
    if response is not None:
        states = Counter(one.state for one in response.controller.records.incidents.values())
        yield Family(
            name="meshwarden_incidents",
            kind=Kind.GAUGE,
            help="Incidents on record, by state.",
            label="state",
            values={state.value: states[state] for state in IncidentState},
        )


def _sidecars(plane: ControlPlane) -> Iterator[Family]:
    sidecars = plane.status().sidecars
    for name, text, value in (
        ("sidecars", "Sidecars of the mesh.", len(sidecars)),
        (
            "sidecars_connected",
            "Sidecars that have a configuration stream open.",
            sum(one.connected for one in sidecars),
        ),
        (
            "resources_pending",
            "Resources that sidecars have not answered in their current version.",
            sum(len(one.pending) for one in sidecars),
        ),
        (
            "resources_refused",
            "Resources of which sidecars refused the current version.",
            sum(len(one.refused) for one in sidecars),
        ),
    ):
        yield Family.of(f"meshwarden_{name}", Kind.GAUGE, text, value)


def _calls(plane: ControlPlane) -> Iterator[Family]:
    figures = plane.recorder.figures()
    totals = figures.totals
    for name, text, value in (
        ("calls", "Calls recorded since the record began.", totals.calls),
        ("calls_denied", "Recorded calls that were refused.", totals.denied),
        ("calls_late", "Callees' reports that came too late.", figures.late),
        ("log_lines_unreadable", "Log lines kept aside as unreadable.", totals.rejected_lines),
        ("log_skipped_bytes", "Octets of log given up in floods.", totals.skipped_bytes),
    ):
        yield Family.of(f"meshwarden_{name}_total", Kind.COUNTER, text, value)
    yield Family.of(
        "meshwarden_log_behind_bytes", Kind.GAUGE, "Octets of log not read yet.",
        figures.behind_bytes,
    )  # fmt: skip
    yield Family(
        name="meshwarden_calls_refused_total",
        kind=Kind.COUNTER,
        help="Calls refused since the control plane started, by what refused them.",
        label="by",
        values=dict(sorted(figures.refused.items())),
    )


def _watch(plane: ControlPlane) -> Iterator[Family]:
    if plane.watch is None:
        return
    figures = plane.watch.figures()
    for name, text, value in (
        ("calls_scored", "Calls scored by the model of behaviour.", figures.scored),
        ("calls_unscored", "Calls left out of scoring in floods.", figures.left_out),
        ("alarms", "Findings that the model of behaviour raised.", figures.findings),
    ):
        yield Family.of(f"meshwarden_{name}_total", Kind.COUNTER, text, value)
    yield Family.of(
        "meshwarden_calls_waiting", Kind.GAUGE, "Calls that wait to be scored.", figures.waiting
    )
