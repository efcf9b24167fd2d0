"""Has an engine bring a container to a state, and looks whether it got there.

What is so already is not done again; what the engine refuses counts only where the state is not
reached.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from meshwarden.adapters.containers.clean import render_endpoint
from meshwarden.adapters.containers.codec import Container
from meshwarden.adapters.containers.engine import Answer, Engine, Query, must
from meshwarden.kernel import DependencyError

ROUNDS: Final = 20
"""Tries, each of which sees a container that restarts meanwhile in another state."""

POLL_S: Final = 0.1
"""Between two looks at what an engine is about to do: it tells nobody."""


async def bring(
    engine: Engine,
    container: Container,
    reached: Callable[[Container], bool],
    verb: str,
    query: Query | None = None,
) -> None:
    """Have `verb` done until `reached`, or it is gone; DependencyError `containers.refused`."""
    answer: Answer | None = None
    for _ in range(ROUNDS):
        now = await engine.inspect(container.id)
        if now is None or reached(now):
            return
        if answer is not None:
            await asyncio.sleep(POLL_S)
        answer = await order(engine, container, verb, query)
    reason = answer.reason if answer else ""
    raise DependencyError("containers.refused", f"{verb} {container.name}: {reason}")


async def order(
    engine: Engine, container: Container, verb: str, query: Query | None = None, body: object = None
) -> Answer:
    """Return what the engine answers to one order about a container."""
    path = f"/containers/{container.id}/{verb}"
    return await engine.ask("POST", path, body=body, query=query)


async def restart_as(engine: Engine, container: Container, policy: Mapping[str, Any]) -> None:
    """Set when the engine starts it again by itself; Podman before 5 does not take it."""
    await order(engine, container, "update", body={"RestartPolicy": dict(policy)})


async def disconnect(engine: Engine, container: Container, network: str) -> None:
    """Take one network away; whether that worked is looked at afterwards."""
    body = {"Container": container.id, "Force": True}
    await engine.ask("POST", f"/networks/{network}/disconnect", body=body)


async def connect(
    engine: Engine, container: Container, network: str, endpoint: Mapping[str, Any]
) -> None:
    """Connect it to one network, by its old address unless another has that by now.

    Raises:
        DependencyError: `containers.refused`.
    """
    for address in (True, False):
        wanted = render_endpoint(endpoint, without=container.id, address=address)
        body = {"Container": container.id, "EndpointConfig": wanted}
        answer = await engine.ask("POST", f"/networks/{network}/connect", body=body)
        now = await engine.inspect(container.id)
        if now is not None and network in now.networks:
            return
    must(answer, f"connect {container.name} to {network}")
