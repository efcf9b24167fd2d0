"""Suspects in real containers: what is kept of them, those that fight back, what replaces them."""

import json
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.podman import IMAGE, NEEDS_PODMAN, SERVICES, Podman, running_podman
from tests.e2e.small_mesh import eventually

from meshwarden.adapters.containers import ContainerDriver, Engine
from meshwarden.adapters.containers.namespace import may_pass_here, processes_of
from meshwarden.adapters.forensics import ProcessSet, Selection, dump_memory, facts_of
from meshwarden.adapters.network.network import entered
from meshwarden.kernel import DependencyError
from meshwarden.response import Instance, SnapshotSources

pytestmark = [NEEDS_PODMAN, pytest.mark.e2e, pytest.mark.timeout(300)]
SECRET = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    with running_podman() as one:
        yield one


@pytest.fixture
def driver(podman: Podman, tmp_path: Path) -> Iterator[ContainerDriver]:
    yield ContainerDriver(
        engine=Engine(socket=podman.socket), names={"pay": "pay"}, folder=tmp_path / "containers"
    )
    podman.remove("--ignore", "pay")  # it may depend on another
    podman.remove("--all")


async def suspect(driver: ContainerDriver) -> Instance:
    found = await driver.running("pay")
    assert found is not None
    return found


def members(sources: SnapshotSources) -> list[int]:
    assert sources.leader is not None
    chosen = Selection(leader=sources.leader, control_group=sources.control_group)
    return [one.pid for one in ProcessSet(chosen).members()]


def states_of(sources: SnapshotSources) -> set[str]:
    assert sources.leader is not None
    chosen = Selection(leader=sources.leader, control_group=sources.control_group)
    return {one.state for one in ProcessSet(chosen).members()}


def answers(podman: Podman, address: str) -> bool:
    """Return whether somebody at `address` sends anything."""
    try:
        with entered(podman.namespace):
            end = socket.create_connection((address, 5432), timeout=1)
        with end:
            end.settimeout(1)
            return bool(end.recv(16))
    except OSError:
        return False


async def test_what_an_attacker_started_and_left_is_kept_and_secrets_are_not(
    podman: Podman, driver: ContainerDriver
) -> None:
    podman.start("pay", "--env", f"DB_PASSWORD={SECRET}")
    podman.run("exec", "--detach", "pay", "sh", "-c", "echo loot >/tmp/loot; sleep 1000")
    there = await suspect(driver)
    await eventually(lambda: has_changed(podman, "/tmp/loot"), what="the loot")  # noqa: S108
    assert await driver.freeze(there) == 3  # the service, a shell from outside, what that started
    sources = await driver.snapshot_sources(there)
    assert len(members(sources)) == 3
    assert "/tmp/loot" in json.loads(sources.facts["changes.json"])  # noqa: S108
    assert loot_of(sources) == b"loot\n"
    assert "no checkpoint" in sources.facts["checkpoint-missing"].decode()
    described = sources.facts["container.json"]
    assert b"DB_PASSWORD" in described
    assert SECRET.encode() not in described
    facts = dict(facts_of(members(sources)[0], salt=b"x"))
    assert not any(SECRET.encode() in content for content in facts.values())


async def has_changed(podman: Podman, path: str) -> bool:
    return f"A {path}" in podman.run("diff", "pay").splitlines()


async def is_crowded(driver: ContainerDriver) -> bool:
    container = await driver.engine.inspect("pay")
    processes = None if container is None else processes_of(container)
    if processes is None:
        return False
    # They come and go while they are counted: of the five, hardly all are seen at once.
    return any(len(processes.members()) > 1 for _ in range(20))


def loot_of(sources: SnapshotSources) -> bytes:
    for name, path in sources.files.items():
        if name.startswith("changed-"):
            with tarfile.open(path) as tar:
                for member in tar:
                    content = tar.extractfile(member)
                    if member.name == "loot" and content:
                        return content.read()
    return b""


async def test_memory_of_a_frozen_container_can_be_read(
    podman: Podman, driver: ContainerDriver, tmp_path: Path
) -> None:
    podman.start("pay", "--env", f"DB_PASSWORD={SECRET}")
    there = await suspect(driver)
    await driver.freeze(there)
    sources = await driver.snapshot_sources(there)
    core = dump_memory(members(sources)[0], tmp_path, max_bytes=1 << 30)
    assert SECRET.encode() in core.read_bytes()


async def test_one_that_forks_without_end_is_frozen_and_ended(
    podman: Podman, driver: ContainerDriver
) -> None:
    podman.start("pay", "--pids-limit", "64", program=SERVICES / "breeder.py")
    there = await suspect(driver)
    await eventually(lambda: is_crowded(driver), what="many processes")
    assert await driver.freeze(there) >= 5
    sources = await driver.snapshot_sources(there)
    assert states_of(sources) == {"T"}
    await driver.stop(there)
    assert members(sources) == []


async def test_one_that_ends_and_restarts_all_the_time_is_cut_off_for_good(
    podman: Podman, driver: ContainerDriver
) -> None:
    """An engine may forget the network of one that is just ending without taking it away."""
    podman.start("pay", program=SERVICES / "restless.py")
    there, address = await suspect(driver), podman.address("pay")
    await driver.cut_network(there)
    for _ in range(10):
        assert not answers(podman, address)
        assert await driver.network_is_cut(there)
        now = await driver.engine.inspect("pay")
        assert now is not None
        assert not may_pass_here(now)
    await driver.stop(there)


async def test_the_network_of_others_is_not_cut(podman: Podman, driver: ContainerDriver) -> None:
    podman.start("other")
    podman.start("pay", network="container:other")
    with pytest.raises(DependencyError) as refused:
        await driver.cut_network(await suspect(driver))
    assert refused.value.code == "driver.shared_network"
    assert answers(podman, podman.address("other"))


async def test_what_replaces_it_is_as_limited_and_clean_though_its_tag_moved(
    podman: Podman, driver: ContainerDriver
) -> None:
    options = ("--cap-drop", "all", "--read-only", "--memory", "256m", "--pids-limit", "64",
               "--security-opt", "no-new-privileges", "--env", "MODE=live", "--tmpfs", "/run")  # fmt: skip
    old = podman.start("pay", *options)
    podman.run("tag", IMAGE, "localhost/kept:1")
    podman.run("import", "--change", "CMD /bin/false", "-", IMAGE, given=empty_root())
    there = await suspect(driver)
    await driver.cut_network(there)
    fresh = await driver.replace(there, timeout_s=60)
    podman.run("tag", "localhost/kept:1", IMAGE)
    was, now = await driver.engine.inspect(old), await driver.engine.inspect(fresh.name)
    assert was is not None
    assert now is not None
    assert not was.running
    assert was.name == f"pay-suspect-{old[:12]}"
    assert now.image == was.image
    for setting in ("CapDrop", "SecurityOpt", "Memory", "PidsLimit", "ReadonlyRootfs", "Tmpfs"):
        assert now.host_config[setting] == was.host_config[setting]
    assert "MODE=live" in now.config["Env"]
    assert answers(podman, podman.address("pay"))
    assert now.host_config["RestartPolicy"]["Name"] == "always"


def empty_root() -> bytes:
    return bytes(10240)  # a tar of nothing


async def test_one_that_never_becomes_healthy_is_said(
    podman: Podman, driver: ContainerDriver
) -> None:
    podman.start("pay", "--health-cmd", "/bin/false", "--health-interval", "1s")
    with pytest.raises(DependencyError) as refused:
        await driver.replace(await suspect(driver), timeout_s=2)
    assert refused.value.code == "driver.never_healthy"


@pytest.mark.parametrize("crash", ["rename", "create", "start"])
async def test_a_replacement_that_was_interrupted_goes_on(
    podman: Podman, driver: ContainerDriver, crash: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    podman.start("pay")
    there = await suspect(driver)
    ask = Engine.ask

    async def _dies(self: Engine, method: str, path: str, **rest: object) -> object:
        if path.endswith(crash):
            raise KeyboardInterrupt
        return await ask(self, method, path, **rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "ask", _dies)
        with pytest.raises(KeyboardInterrupt):
            await driver.replace(there, timeout_s=30)
    fresh = await driver.replace(there, timeout_s=30)
    assert fresh.name != there.name
    assert await driver.healthy(fresh)
