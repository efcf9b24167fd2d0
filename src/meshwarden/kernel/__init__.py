"""The nouns that every part shares: identities, calls, decisions, findings, errors, and the ports.

Standard library and Arrow types only; no I/O, no clock, no chance. The names of `call` are loaded
when they are first asked for: Arrow takes longer to import than most commands take to run.
"""

import importlib
from typing import TYPE_CHECKING, Any

from meshwarden.kernel.decision import Decision
from meshwarden.kernel.document import Node
from meshwarden.kernel.errors import (
    ConfigError,
    DependencyError,
    InputError,
    MeshwardenError,
    StateError,
    VerificationError,
)
from meshwarden.kernel.finding import Contribution, Finding, Severity
from meshwarden.kernel.ports import Chance, Clock, FindingStore
from meshwarden.kernel.spiffe import SpiffeId, parse_trust_domain

if TYPE_CHECKING:
    from meshwarden.kernel.call import CALL_SCHEMA, EXTERNAL, UNKNOWN, Call, calls_to_table

__all__ = [
    "CALL_SCHEMA",
    "EXTERNAL",
    "UNKNOWN",
    "Call",
    "Chance",
    "Clock",
    "ConfigError",
    "Contribution",
    "Decision",
    "DependencyError",
    "Finding",
    "FindingStore",
    "InputError",
    "MeshwardenError",
    "Node",
    "Severity",
    "SpiffeId",
    "StateError",
    "VerificationError",
    "calls_to_table",
    "parse_trust_domain",
]

_OF_CALL = frozenset({"CALL_SCHEMA", "EXTERNAL", "UNKNOWN", "Call", "calls_to_table"})


def __getattr__(name: str) -> Any:  # noqa: ANN401  # PEP 562
    if name not in _OF_CALL:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("meshwarden.kernel.call"), name)
