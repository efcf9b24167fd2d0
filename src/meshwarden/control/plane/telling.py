"""Tells findings: logged at once, stored as soon as the disk takes them.

A full disk is often what a finding is about; it must not end the program that says so. What cannot
be stored waits, bounded, in its order; beyond the bound the oldest stays in the log alone.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

import structlog

from meshwarden.kernel import DependencyError, Finding, FindingStore

MAX_WAITING: Final = 1000
_log = structlog.get_logger()


class Teller:
    """Hands findings to `store`, now or later; called from any thread."""

    def __init__(self, store: FindingStore) -> None:
        self.told: Counter[str] = Counter()
        """Findings since the start, by code."""

        self.heard: Callable[[Finding], None] = lambda _: None
        self._store = store
        self._waiting: deque[Finding] = deque(maxlen=MAX_WAITING)
        self._failing = False
        self._lock = threading.Lock()

    def tell(self, finding: Finding) -> None:
        """Log `finding` and store it, after those that wait."""
        _log.warning(
            "finding", code=finding.code, subject=finding.subject, sentence=finding.sentence
        )
        self.heard(finding)
        with self._lock:
            self.told[finding.code] += 1
            self._waiting.append(finding)
        self.retry()

    @property
    def waits(self) -> bool:
        """Whether there are findings that could not be stored yet."""
        return bool(self._waiting)

    def retry(self) -> None:
        """Store what waits, as far as the store takes it."""
        with self._lock:
            while self._waiting and self._stored(self._waiting[0]):
                self._waiting.popleft()

    def _stored(self, finding: Finding) -> bool:
        try:
            self._store.store_finding(finding)
        except DependencyError as error:
            if not self._failing:
                _log.error("finding_not_stored", error=str(error))
            self._failing = True
            return False
        self._failing = False
        return True
