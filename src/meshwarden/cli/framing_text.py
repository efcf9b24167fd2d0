"""What came of an attempt to have the bank cut itself off, as JSON values and as lines."""

from typing import Any

from meshwarden.cli.calls_text import printable
from meshwarden.lab.framing import Framing


def framing_object(framing: Framing) -> dict[str, Any]:
    """Return it as `demo --json` prints it."""
    return {
        "attack": {"name": "framing"},
        "attack_succeeded": not framing.failed,
        "forged_handshakes": framing.forged,
        "framing_requests": framing.asked,
        "incidents": len(framing.incidents),
        "contained_services": list(framing.contained),
        "held_back": list(framing.held_back),
        "pages": framing.pages,
        "customer_requests": framing.fared.requests,
        "customer_failures": framing.fared.failures,
    }


def framing_lines(framing: Framing) -> list[str]:
    """Return it as text."""
    lines = [
        f"framing          {framing.forged} forged handshakes that name the ledger,"
        f" {framing.asked} requests with stolen certificates",
        f"incidents        {len(framing.incidents)}; people were called {framing.pages} times",
        f"replaced         {', '.join(framing.contained) or 'nobody'}",
        f"held back        {', '.join(framing.held_back) or 'nobody'}",
    ]
    for one in framing.incidents:
        waiting = next((s for s in one["steps"] if s["state"] in {"waiting", "stopped"}), None)
        if waiting:
            lines.append(f"  {one['service']:16} {printable(waiting['outcome'])}")
    fared = framing.fared
    lines.append(f"customers        {fared.requests} requests meanwhile, {fared.failures} failed")
    lines.append(f"the attacker     {'failed' if framing.failed else 'SUCCEEDED'}")
    return lines
