"""Asks the rules about subjects: each subject only the rules that are about its kind."""

from collections.abc import Iterator, Sequence
from typing import Any, Self

from meshwarden.adapters.rego import Outcome, Pool, Request, RuleSet
from meshwarden.adapters.rego.engine import Program
from meshwarden.adapters.rego.pool import LIMIT_S
from meshwarden.kernel import ConfigError
from meshwarden.policy.gate.answers import AnswerError, parse_answer
from meshwarden.policy.gate.context import World, context_of
from meshwarden.policy.gate.model import CONTEXT, Problem, Rule, Subject, Violation
from meshwarden.policy.gate.settings import Settings

Judged = tuple[Subject, list[Violation], list[Problem]]


def selected(rules: RuleSet, settings: Settings) -> RuleSet:
    """Return `rules` without those that are disabled; ConfigError where a name is no rule's."""
    for name in [*settings.disabled, *settings.severities, *(one.rule for one in settings.waivers)]:
        rules.rule(name)
    kept = [
        rule
        for rule in rules.rules
        if not {rule.id, rule.id.rpartition("/")[2]} & settings.disabled
    ]
    double = {rule.id for rule in kept if sum(one.id == rule.id for one in kept) > 1}
    if double:
        raise ConfigError("gate.double_rule", f"two rules are called {', '.join(sorted(double))}")
    return RuleSet(rules=tuple(kept), modules=rules.modules)


class Evaluator:
    """The compiled rules; a context manager that holds the processes which run them."""

    def __init__(
        self,
        rules: RuleSet,
        settings: Settings,
        *,
        workers: int | None = None,
        limit_s: float = LIMIT_S,
    ) -> None:
        self.rules: Sequence[Rule] = rules.rules
        program = Program(
            modules=rules.modules,
            data=settings.data(),
            entrypoints=[rule.entrypoint for rule in rules.rules],
        )
        self._pool = Pool(program, workers=workers, limit_s=limit_s)

    def __enter__(self) -> Self:
        self._pool.start(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.__exit__()

    def warm(self) -> None:
        """Compile now, in every process, rather than at the first object."""
        self._pool.warm()

    def judge(self, subjects: Sequence[Subject], world: World) -> Iterator[Judged]:
        """Yield each subject with its violations and what could not be evaluated."""
        asked = [(subject, rules) for subject in subjects if (rules := self._about(subject))]
        requests = [
            Request(
                value={**subject.value, CONTEXT: context_of(subject, world)},
                rules=rules,
            )
            for subject, rules in asked
        ]
        outcomes = self._pool.evaluate(requests)
        for (subject, _), outcome in zip(asked, outcomes, strict=True):
            yield self._judged(subject, outcome)

    def _about(self, subject: Subject) -> tuple[int, ...]:
        lines = outline(subject.value)
        return tuple(
            number
            for number, rule in enumerate(self.rules)
            if is_about(rule, subject.tags) and (rule.needs is None or rule.needs.search(lines))
        )

    def _judged(self, subject: Subject, outcome: Outcome) -> Judged:
        problems = [
            _failed(subject, self.rules[number] if number >= 0 else None, why)
            for number, why in outcome.failed.items()
        ]
        violations: list[Violation] = []
        for number, raw in outcome.found.items():
            rule = self.rules[number]
            try:
                violations.extend(parse_answer(rule.id, raw))
            except AnswerError as error:
                problems.append(_failed(subject, rule, str(error)))
        return subject, violations, problems


def is_about(rule: Rule, tags: frozenset[str]) -> bool:
    """Return whether a rule is about something that has these tags."""
    kubernetes = tags and not tags & {"compose", "terraform"}
    return bool(rule.kinds & tags) or bool("*" in rule.kinds and kubernetes)


def outline(value: Any) -> str:
    """Return the object as lines `path.to.key=value`, for rules' `needs`; one line each."""
    lines: list[str] = []
    todo: list[tuple[str, Any]] = [("", value)]
    while todo:
        path, one = todo.pop()
        if isinstance(one, dict):
            todo += [(f"{path}.{key}" if path else key, item) for key, item in one.items()]
        elif isinstance(one, list):
            todo += [(f"{path}.{number}", item) for number, item in enumerate(one)]
        else:
            lines.append(f"{path}={one}".replace("\n", "\t"))
    return "\n".join(lines)


def _failed(subject: Subject, rule: Rule | None, why: str) -> Problem:
    what = f"rule {rule.id}" if rule else "the evaluation"
    named = f" ({rule.where})" if rule else ""
    name: Any = subject.object or subject.document.source
    return Problem(
        source=subject.document.source,
        line=subject.document.line,
        code="gate.rule",
        message=f"{what} failed on {name}: {why}{named}",
        hint="the object was judged by the other rules",
    )
