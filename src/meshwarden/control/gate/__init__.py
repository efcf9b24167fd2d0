"""Runs the gate: files to subjects, subjects through the rules, answers to a report."""

from meshwarden.control.gate.evaluate import Evaluator, selected
from meshwarden.control.gate.run import Gate, judge_paths

__all__ = ["Evaluator", "Gate", "judge_paths", "selected"]
