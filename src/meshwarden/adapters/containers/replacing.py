"""A clean container in the place of another: made alike, compared, started, waited for.

After a crash at any line the same call goes on: the old one is known by its id whatever it is
called by then, the new one by its name.
"""

import asyncio
from typing import Any

import structlog

from meshwarden.adapters.containers.acting import POLL_S, bring, connect, order
from meshwarden.adapters.containers.clean import differences, render_clean
from meshwarden.adapters.containers.codec import Container
from meshwarden.adapters.containers.engine import Answer, Engine, must
from meshwarden.adapters.containers.remembered import Before
from meshwarden.kernel import DependencyError

_log = structlog.get_logger()


async def end(engine: Engine, container: Container) -> None:
    """End all its processes; the engine does not start it again by itself."""
    if container.paused:  # a signal reaches it when it is let go
        await order(engine, container, "kill", {"signal": "SIGKILL"})
        await order(engine, container, "unpause")
    await bring(engine, container, lambda now: not now.running, "stop", {"t": 0})


async def make_like(engine: Engine, old: Container, before: Before, name: str) -> Container:
    """Return a new container called `name`, asked for as `old` was, on the networks it had.

    `old` is ended, and stays under another name. DependencyError where the engine refuses.
    """
    if old.name == name:
        await end(engine, old)
        aside = {"name": f"{name}-suspect-{old.id[:12]}"}
        must(await order(engine, old, "rename", aside), f"put {name} aside")
    body: dict[str, Any] = render_clean(old, before.networks)
    body["HostConfig"]["RestartPolicy"] = dict(before.restart)
    answer = await engine.ask("POST", "/containers/create", body=body, query={"name": name})
    must(answer, f"make a container like {name}")
    _log.info("container_made", name=name, said=answer.body[:500].decode(errors="replace"))
    fresh = await engine.inspect(name)
    if fresh is None:
        raise DependencyError("containers.refused", f"the engine has no {name}")
    return fresh


async def join(engine: Engine, fresh: Container, before: Before) -> None:
    """Connect it to all networks; the engine takes one when it makes a container."""
    for network, endpoint in before.networks.items():
        if network not in fresh.networks:
            await connect(engine, fresh, network, endpoint)


async def check_alike(engine: Engine, old: Container, fresh: Container, before: Before) -> None:
    """Remove `fresh`, and put `old` back in its place, where they are not asked for alike.

    Raises:
        DependencyError: `driver.differs`, naming the settings.
    """
    found = differences(old, fresh, restart=before.restart)
    if not found:
        return
    await engine.ask("DELETE", f"/containers/{fresh.id}", query={"force": "true"})
    await order(engine, old, "rename", {"name": fresh.name})
    raise DependencyError(
        "driver.differs",
        f"a new {fresh.name} would differ from the old one in {', '.join(found)}",
        hint="replace it by what started it; the suspect stays ended and cut off",
    )


async def serve(engine: Engine, fresh: Container, *, timeout_s: float) -> None:
    """Start it, and wait until it serves; DependencyError `driver.never_healthy`."""
    answer: Answer | None = None
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                now = await engine.inspect(fresh.id)
                if now is not None and now.serves:
                    return
                if now is None or not now.running:
                    answer = await order(engine, fresh, "start")
                await asyncio.sleep(POLL_S)
    except TimeoutError as error:
        refused = answer is not None and not answer.ok
        said = answer.reason if answer is not None and refused else "it is not healthy"
        raise DependencyError(
            "driver.never_healthy", f"{fresh.name} after {timeout_s:g} s: {said}"
        ) from error
