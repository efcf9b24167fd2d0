"""Rego rules: read from folders, run by the embedded engine in processes that may be lost."""

from meshwarden.adapters.rego.pool import Outcome, Pool
from meshwarden.adapters.rego.rules import SHIPPED, RuleSet, load_rules
from meshwarden.adapters.rego.worker import Request

__all__ = ["SHIPPED", "Outcome", "Pool", "Request", "RuleSet", "load_rules"]
