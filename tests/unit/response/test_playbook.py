import pytest
from tests.unit.response.conftest import SHIPPED, shipped, written
from tests.unit.response.world import Response

from meshwarden.kernel import InputError
from meshwarden.response import choose


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_can_work(name: str) -> None:
    assert shipped(name).name == name


@pytest.mark.parametrize(
    ("steps", "code", "said"),
    [
        ("[]", "playbook.empty", "at least one step"),
        ("[isolate]", "playbook.unknown_action", "no action is called 'isolate'"),
        ("[notify, notify]", "playbook.repeated", "notify stands twice"),
        ("[replace]", "playbook.requires", "replace needs quarantine before it"),
        (
            "[quarantine, revoke-svid, replace, snapshot]",
            "playbook.order",
            "snapshot must come before replace",
        ),
        ("[snapshot, quarantine]", "playbook.order", "quarantine must come before snapshot"),
        ("[{action: notify, approvals: 3}]", "document.type", "from 0 to 2"),
        ("[{action: notify, who: me}]", "document.unknown_key", "'who'"),
    ],
)
def test_a_playbook_that_cannot_work_is_refused_with_its_line(
    steps: str, code: str, said: str
) -> None:
    with pytest.raises(InputError, match=said) as refused:
        written(steps)
    assert refused.value.code == code
    assert refused.value.where == "mine.yaml:4"


@pytest.mark.parametrize("time_box", ["0s", "8d", "4", "'1h '", "-1h", "1w", "999999d"])
def test_a_time_box_is_bounded(time_box: str) -> None:
    with pytest.raises(InputError) as refused:
        written("[notify]", time_box=time_box)
    assert refused.value.code in {"playbook.time_box", "document.type"}


def test_the_first_that_applies_is_followed() -> None:
    incident = Response().incident
    strict = written("[quarantine]", when="when: {probability: 0.9999}\n")
    other_tier = written("[quarantine]", when="when: {tiers: [0]}\n")
    other_kind = written("[quarantine]", when="when: {findings: ['token.*']}\n")
    fits = written("[quarantine]", when="when: {probability: 0.5, findings: ['behaviour.*']}\n")
    anything = shipped("observe")
    ordered = [strict, other_tier, other_kind, fits, anything]
    assert choose(incident, ordered, tier=1) is fits
    assert choose(incident, [strict, anything], tier=1) is anything
    assert choose(incident, [strict], tier=1) is None
