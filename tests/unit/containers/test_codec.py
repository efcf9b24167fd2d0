"""What an engine says about a container, and a clean one like it: a captured answer, and hostile ones."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from meshwarden.adapters.containers.clean import differences, render_clean
from meshwarden.adapters.containers.codec import Container, parse_changes, parse_container
from meshwarden.kernel import InputError

VECTOR = Path(__file__).parents[2] / "vectors/containers/podman-4.3.1.json"
CAPTURED: dict[str, Any] = json.loads(VECTOR.read_bytes())


def changed(path: str, value: object) -> bytes:
    """Return the captured answer with `value` at the dotted `path`."""
    found = copy.deepcopy(CAPTURED)
    *places, last = path.split(".")
    at = found
    for place in places:
        at = at[place]
    at[last] = value
    return json.dumps(found).encode()


def container(path: str = "Name", value: object = "/t1") -> Container:
    return parse_container(changed(path, value))


def test_a_captured_answer_is_read() -> None:
    found = container()
    assert (found.name, found.running, found.paused, found.pid) == ("t1", True, False, 27454)
    assert found.started == 1795637020_885365350
    assert list(found.networks) == ["mwnet"]
    assert found.has_own_network
    assert found.health == "starting"
    assert not found.serves
    assert found.writable == ("/run", "/dev/shm")  # noqa: S108


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("Id", "../../etc/passwd"),
        ("Id", None),
        ("Image", "latest"),
        ("State", []),
        ("State.Running", "yes"),
        ("State.Pid", -1),
        ("State.Pid", 1 << 40),
        ("State.Pid", True),
        ("State.StartedAt", "yesterday"),
        ("State.StartedAt", 0),
        ("State.Health", {"Log": []}),
        ("NetworkSettings", {}),
        ("NetworkSettings.Networks", ["mwnet"]),
        ("HostConfig", None),
        ("Mounts", [{"Destination": "/x"}]),
        ("Config", 5),
    ],
)
def test_an_answer_that_is_none_is_refused(path: str, value: object) -> None:
    with pytest.raises(InputError) as refused:
        container(path, value)
    assert refused.value.code == "containers.inspect"


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"{}", b"\xff", b"[" * 200_000])
def test_bytes_that_are_no_answer_are_refused(raw: bytes) -> None:
    for parse in (parse_container, parse_changes):
        if (parse, raw) in {(parse_changes, b"[]"), (parse_changes, b"null")}:
            assert parse_changes(raw) == []  # nothing changed
            continue
        with pytest.raises(InputError):
            parse(raw)


def test_only_what_was_added_or_changed_is_a_change() -> None:
    raw = b'[{"Path":"/a","Kind":0},{"Path":"/b","Kind":1},{"Path":"/c","Kind":2}]'
    assert parse_changes(raw) == ["/a", "/b"]


def test_a_clean_one_is_asked_for_by_digest_with_the_same_limits() -> None:
    old = container()
    wanted = render_clean(old, old.networks)
    host = wanted["HostConfig"]
    assert wanted["Image"] == CAPTURED["Image"]
    assert wanted["User"] == "65534"
    assert "A=b" in wanted["Env"]
    assert "Hostname" not in wanted
    assert not any(one.startswith("HOSTNAME=") for one in wanted["Env"])
    assert host["NetworkMode"] == "mwnet"
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert "SETUID" in host["CapDrop"]
    assert {one["Name"]: one["Hard"] for one in host["Ulimits"]} == {"nofile": 1024, "nproc": 1024}
    assert (host["Memory"], host["PidsLimit"]) == (268435456, 64)


@pytest.mark.parametrize(
    ("path", "value", "setting"),
    [
        ("Image", "sha256:" + "0" * 64, "Image"),
        ("HostConfig.Privileged", True, "Privileged"),
        ("HostConfig.CapAdd", ["SYS_ADMIN"], "CapAdd"),
        ("HostConfig.CapDrop", [], "CapDrop"),
        ("HostConfig.SecurityOpt", [], "SecurityOpt"),
        ("HostConfig.Binds", ["/:/host"], "Binds"),
        ("HostConfig.PidMode", "host", "PidMode"),
        ("HostConfig.Memory", 0, "Memory"),
        ("HostConfig.SomethingNew", {"Wide": "open"}, "SomethingNew"),
        ("Config.User", "root", "User"),
        ("Config.Cmd", ["/bin/sh"], "Cmd"),
    ],
)
def test_one_that_differs_in_what_it_may_do_is_none_like_it(
    path: str, value: object, setting: str
) -> None:
    assert differences(container(), container(path, value)) == [setting]


def test_one_that_differs_in_what_is_its_own_is_like_it() -> None:
    other = container("Id", "f" * 64)
    assert differences(container(), other) == []
    held = container("HostConfig.RestartPolicy", {"Name": "no", "MaximumRetryCount": 0})
    before = {"Name": "always", "MaximumRetryCount": 0}
    assert differences(held, container()) == ["RestartPolicy"]
    assert differences(held, container(), restart=before) == []


@pytest.mark.parametrize("mode", ["host", "none", "container:abc", "ns:/run/netns/x"])
def test_a_network_that_is_shared_is_not_its_own(mode: str) -> None:
    assert not container("HostConfig.NetworkMode", mode).has_own_network
