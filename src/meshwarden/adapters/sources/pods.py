"""Pods' names into the names of what owns them, by the suffixes that Kubernetes generates.

Generated suffixes use the alphabet of `k8s.io/apimachinery/pkg/util/rand`, which has no vowels, no
`0 1 3` and few look-alikes, so that they spell no words: `api-gateway` keeps its name, and
`api-6d4b75cb6d-x7k2p` loses its hash.
"""

import re
from functools import lru_cache
from typing import Final

_SAFE: Final = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIXES: Final = (
    re.compile(rf"-[{_SAFE}]{{6,10}}-[{_SAFE}]{{5}}"),  # Deployment: template hash, pod
    re.compile(rf"-\d{{8,10}}-[{_SAFE}]{{5}}"),  # CronJob: minute, pod
    re.compile(rf"-(?=[a-z]*\d)[{_SAFE}]{{5}}"),  # DaemonSet or Job: pod; one digit at least
    re.compile(r"-\d{1,5}"),  # StatefulSet: ordinal
)


@lru_cache(maxsize=16_384)
def workload_of_pod(pod: str) -> str:
    """Return the name of the workload that owns `pod`.

    A DaemonSet's pod whose five characters happen to be letters only keeps them: a name too many is
    better than a word cut off.

    >>> workload_of_pod("ledger-6d4b75cb6d-x7k2p"), workload_of_pod("ledger-db-0")
    ('ledger', 'ledger-db')
    """
    for suffix in _SUFFIXES:
        found = re.search(suffix.pattern + r"\Z", pod)
        if found and found.start() > 0:
            return pod[: found.start()]
    return pod
