"""What must hold of the route learner whatever paths come."""

import random
import string

from hypothesis import given, settings
from hypothesis import strategies as st

from meshwarden.behaviour.routes import RouteLearner, RouteLimits, segments_of

_SEGMENT = st.sampled_from(["v1", "users", "a", "x1", "", "{}", "**", "7"]) | st.text(max_size=6)
_PATH = st.lists(_SEGMENT, max_size=6).map(lambda parts: "/" + "/".join(parts))
_SMALL = RouteLimits(evidence=3.0, children=8, kept=2, nodes=60)


@settings(max_examples=200, deadline=None)
@given(paths=st.lists(st.tuples(st.sampled_from(["one", "two"]), _PATH), max_size=80))
def test_names_are_bounded_and_stable(paths: list[tuple[str, str]]) -> None:
    learner = RouteLearner(_SMALL)
    learner.routes(paths)
    assert learner.nodes <= _SMALL.nodes + 1 + 2 * 8
    for service, path in paths:
        route = learner.name(service, path)
        assert route == learner.name(service, path)
        assert len(route.split("/")) <= 14


@settings(max_examples=200, deadline=None)
@given(path=_PATH)
def test_a_route_keeps_its_number_of_segments(path: str) -> None:
    route = RouteLearner().route("s", path)
    if "**" not in route:
        assert len(route[1:].split("/")) == len(segments_of(path))


def test_a_million_distinct_paths_stay_within_the_bound() -> None:
    chance = random.Random(7)  # noqa: S311  # paths, not secrets
    learner = RouteLearner(RouteLimits(nodes=5000))
    letters = string.ascii_lowercase
    routes: set[str] = set()
    for _ in range(40):
        words = ["".join(chance.choices(letters, k=7)) for _ in range(25_000)]
        named = learner.routes(
            [("s", f"/p/{a}/q/{b}") for a, b in zip(words, reversed(words), strict=True)]
        )
        routes.update(named)
    assert learner.nodes <= 5000
    assert set(named) == {"/p/{}/q/{}"}
    assert len(routes) < 10
