from importlib.resources import files

import pytest

from meshwarden.adapters.yaml import parse_document
from meshwarden.response import Playbook, parse_playbook

SHIPPED = ("observe", "throttle", "quarantine", "full")


def shipped(name: str) -> Playbook:
    raw = (files("meshwarden.response") / "playbooks" / f"{name}.yaml").read_bytes()
    return parse_playbook(parse_document(raw, name=f"{name}.yaml"))


def written(steps: str, *, time_box: str = "4h", when: str = "") -> Playbook:
    raw = (
        "apiVersion: meshwarden.dev/v1\nplaybook: mine\n"
        f"{when}time_box: {time_box}\nsteps: {steps}\n"
    )
    return parse_playbook(parse_document(raw.encode(), name="mine.yaml"))


@pytest.fixture
def quarantine() -> Playbook:
    return shipped("quarantine")


@pytest.fixture
def full() -> Playbook:
    return shipped("full")
