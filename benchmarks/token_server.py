"""One replica of the token service for a benchmark: the real one, on a Unix socket, on one core.

python -m benchmarks.token_server STATE SOCKET ISSUER CORE
"""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import httpx
import structlog
import uvloop

from meshwarden.adapters.chance import SystemChance
from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.yaml import parse_document
from meshwarden.console.token_api import TokenApi
from meshwarden.console.unix import served
from meshwarden.control.tokens.opening import open_tokens
from meshwarden.kernel import SpiffeId
from meshwarden.tokens import parse_token_policy

DOMAIN = "bench.example"
GATEWAY = SpiffeId.parse(f"spiffe://{DOMAIN}/gateway")
AUDIENCE = "https://api.bench.example"
POLICY = """\
apiVersion: meshwarden.dev/v1
issuer: https://token-service.bench.example
assurance: [pwd, mfa]
issuers:
  - {{issuer: "{issuer}", audience: "{audience}"}}
scopes:
  transfer:write: {{acr: mfa, max_age_s: 900}}
clients:
  gateway: {{scopes: [transfer:write], exchange: true}}
risk: {{step_up: 30, deny: 40}}
"""


async def main(state: Path, socket: Path, issuer: str, core: int) -> None:
    """Serve until SIGTERM."""
    os.sched_setaffinity(0, {core})
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    text = POLICY.format(issuer=issuer, audience=AUDIENCE)
    policy = parse_token_policy(
        parse_document(text.encode(), name="policy"),
        trust_domain=DOMAIN,
        services={"gateway": GATEWAY},
    )
    chance = SystemChance()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        service = open_tokens(
            policy,
            state,
            clock=SystemClock(),
            draw=lambda: f"{chance.serial():032x}",
            client=client,
            secret=b"benchmark-secret-benchmark-secre",
        )
        await stack.enter_async_context(service.running())
        await stack.enter_async_context(served(TokenApi(service), socket, mode=0o600))
        await stopped.wait()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
