"""The nouns that every part shares: identities, calls, decisions, findings, errors, and the ports.

Standard library and Arrow types only; no I/O, no clock, no chance.
"""

from meshwarden.kernel.call import CALL_SCHEMA, EXTERNAL, UNKNOWN, Call, calls_to_table
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
