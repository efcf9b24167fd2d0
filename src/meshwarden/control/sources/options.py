"""What the reader of a source may set, and the bounds that hold in any case."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from meshwarden.adapters.sources.row import CLUSTER_DOMAIN
from meshwarden.control.sources.report import SetAside

STDIN: Final = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """How to read.

    Attributes:
        format: a name of `FORMATS`, or `auto`: told by the first lines of each file.
        owner: whose logs these are (SPIFFE ID or name), where a log does not say it itself.
        trust_domain: of names that come without one.
        batch_rows: at most so many rows in a batch.
        rejected: is handed each record that was set aside.
        progress: is handed octets read since the last time.
        stop: follow the files until this is set; None reads to the end once.
        interval_s: how long a followed file may have been still before what is there is handed on.
    """

    format: str = "auto"
    owner: str | None = None
    trust_domain: str = CLUSTER_DOMAIN
    batch_rows: int = 16_384
    rejected: Callable[[SetAside], None] | None = None
    progress: Callable[[int], None] | None = None
    stop: threading.Event | None = None
    interval_s: float = 0.2
