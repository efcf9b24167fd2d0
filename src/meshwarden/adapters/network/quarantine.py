"""One network namespace cut off from everything, loopback included, and let back in.

A table of its own, whose chains come before all others, refuses every packet in both directions,
those of open connections too: each end is sent a RST, so that neither waits. What remains is the
RST itself, which carries nothing. The namespace's firewall (`rules`) stays as it is below.
"""

import shutil
import subprocess
from typing import Final

from meshwarden.adapters.network.network import SYSTEM_PATHS, entered
from meshwarden.kernel import DependencyError

TABLE: Final = "inet meshwarden_quarantine"
_FIRST: Final = -150
"""After connection tracking (-200), by which the firewall below knows a RST as an answer and lets
it out; before address translation (-100) and filters (0). Without it, peers wait for a time-out."""

_TIMEOUT_S: Final = 20.0
_ABSENT: Final = f"table {TABLE} {{}}\ndelete table {TABLE}\n"  # also where there is none
RULES: Final = f"""\
{_ABSENT}table {TABLE} {{
  chain refused {{
    tcp flags & rst != 0 accept
    meta l4proto tcp reject with tcp reset
    drop
  }}
  chain input {{
    type filter hook input priority {_FIRST}; policy drop;
    jump refused
  }}
  chain output {{
    type filter hook output priority {_FIRST}; policy drop;
    jump refused
  }}
}}
"""

CALLING: Final = f"""\
{_ABSENT}table {TABLE} {{
  chain input {{
    type filter hook input priority {_FIRST}; policy accept;
    iifname eth0 ct state new meta l4proto tcp reject with tcp reset
  }}
}}
"""
"""A program that is starting calls others and is not called yet."""


def cut_off(namespace: int) -> None:
    """Refuse every packet in `namespace` (a descriptor); also where that is so already.

    Raises:
        DependencyError: `network.quarantine` where `nft` does not do it.
    """
    _nft(namespace, ["-f", "-"], RULES)


def let_out(namespace: int) -> None:
    """Refuse only those who would connect to it from outside. DependencyError as `cut_off`."""
    _nft(namespace, ["-f", "-"], CALLING)


def let_in(namespace: int) -> None:
    """Undo `cut_off`; also where that was done already. DependencyError as there."""
    _nft(namespace, ["-f", "-"], _ABSENT)


def is_cut_off(namespace: int) -> bool:
    """Return whether `cut_off` holds in `namespace`."""
    return "chain output" in _run(namespace, ["list", "table", *TABLE.split()], "").stdout


def _nft(namespace: int, arguments: list[str], text: str) -> None:
    done = _run(namespace, arguments, text)
    if done.returncode != 0:
        raise DependencyError("network.quarantine", " ".join(done.stderr.split())[:300])


def _run(namespace: int, arguments: list[str], text: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("nft", path=SYSTEM_PATHS) or "nft"
    try:
        with entered(namespace):  # what is started meanwhile is in it
            return subprocess.run(
                [program, *arguments],
                input=text,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DependencyError("network.quarantine", f"nft does not answer: {error}") from error
