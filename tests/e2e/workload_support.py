"""A Workload API in this process, on a socket of its own, for clients in this process and others."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from meshwarden.adapters.chance import SystemChance
from meshwarden.adapters.spiffe.callers import Bounds
from meshwarden.adapters.spiffe.server import WorkloadServer
from meshwarden.control.workload.issuance import Issued, WorkloadIssuing
from meshwarden.identity import (
    Authority,
    Bundle,
    JwtKey,
    ProcessFacts,
    Registration,
    Root,
    Selectors,
    build_bundle,
    create_authority,
    create_key,
    create_root,
)
from meshwarden.kernel import SpiffeId

DOMAIN = "test.example"
IDENTITY = SpiffeId.parse(f"spiffe://{DOMAIN}/worker")
Result = TypeVar("Result")


class MovableClock:
    """The time of day, and what a test adds to it."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset


@dataclass(kw_only=True)
class World:
    """A running Workload API and all that decides what it hands out."""

    path: Path
    clock: MovableClock = field(default_factory=MovableClock)
    root: Root = field(init=False)
    authority: Authority = field(init=False)
    keys: tuple[JwtKey, ...] = field(init=False)
    registrations: list[Registration] = field(default_factory=list)
    federated: dict[str, Bundle] = field(default_factory=dict)
    issued: list[Issued] = field(default_factory=list)
    refused: list[ProcessFacts] = field(default_factory=list)
    sequence: int = 1
    issuing: WorkloadIssuing = field(init=False)
    server: WorkloadServer = field(init=False)

    def __post_init__(self) -> None:
        now, chance = self.clock.now(), SystemChance()
        self.root = create_root(DOMAIN, now=now, serial=chance.serial())
        self.authority = create_authority(self.root, now=now, serial=chance.serial())
        self.keys = (create_key(now),)
        if not self.registrations:
            self.register(IDENTITY, uid=os.getuid())
        self.issuing = WorkloadIssuing(
            clock=self.clock,
            chance=chance,
            authority=lambda: self.authority,
            jwt_keys=lambda: self.keys,
            known=lambda: self.registrations,
            trusted=self.bundles,
            issued=self.issued.append,
            record_refusal=lambda facts, _: self.refused.append(facts),
            lifetime_s=3600,
        )

    @property
    def address(self) -> str:
        return f"unix://{self.path}"

    def register(self, identity: SpiffeId, hint: str = "", **selectors: Any) -> None:
        found = Registration(identity=identity, selectors=Selectors(**selectors), hint=hint)
        self.registrations.append(found)

    def bundles(self) -> dict[str, Bundle]:
        own = build_bundle(self.authority.bundle, self.keys, sequence=self.sequence)
        return {DOMAIN: own} | self.federated


@contextlib.asynccontextmanager
async def workload_world(
    directory: Path, *, bounds: Bounds | None = None, **options: Any
) -> AsyncIterator[World]:
    """Serve a Workload API below `directory` while the context lasts."""
    world = World(path=directory / "w.sock", **options)
    world.server = WorkloadServer(
        issuing=world.issuing, bounds=bounds or Bounds(), ended=world.issuing.forget
    )
    world.issuing.connected = world.server.callers.has
    async with world.server.serving(world.path):
        yield world


async def in_thread(work: Callable[..., Result], *arguments: Any, **more: Any) -> Result:
    """Run a blocking client call beside the server's loop."""
    return await asyncio.wait_for(asyncio.to_thread(work, *arguments, **more), 60)
