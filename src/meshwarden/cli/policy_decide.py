"""`meshwarden policy decide`: one answer of a policy."""

from pathlib import Path

from meshwarden.cli.policy_shared import (
    Json,
    Question,
    asked_of,
    claims_of,
    load_policy,
    print_json,
)
from meshwarden.policy import decide


def decide_command(file: Path, question: Question, *, json: Json = False) -> int:
    """Answer whether one request or connection is allowed. Exit 0 allowed, 1 refused.

    Args:
        file: the policy.
        question: what is asked.
        json: print one JSON object: allowed, rule, fix.
    """
    policy = load_policy(file)
    decision = decide(policy, asked_of(policy, question), claims_of(question.claims))
    if json:
        answer = {"allowed": decision.allowed, "rule": decision.rule, "fix": decision.fix}
        print_json(answer)
    elif decision.allowed:
        print(f"allowed by {decision.rule}")
    else:
        print(f"refused: {decision.reason}" + (f"; {decision.fix}" if decision.fix else ""))
    return 0 if decision.allowed else 1
