"""`meshwarden policy explain`: why a policy answers as it does, and what would change it."""

from pathlib import Path

from meshwarden.cli.policy_shared import Json, Question, asked_of, claims_of, load_policy, print_json
from meshwarden.policy import decide
from meshwarden.policy import explain as explain_decision


def explain(file: Path, question: Question, *, json: Json = False) -> int:
    """Explain one answer: the rule that decided, or the nearest rule and the smallest change.

    Args:
        file: the policy.
        question: what is asked.
        json: print one JSON object: allowed, rule, fix, explanation.
    """
    policy = load_policy(file)
    asked, claims = asked_of(policy, question), claims_of(question)
    decision, lines = decide(policy, asked, claims), explain_decision(policy, asked, claims)
    if json:
        answer = {"allowed": decision.allowed, "rule": decision.rule, "fix": decision.fix}
        print_json(answer | {"explanation": lines})
    else:
        print("\n".join(lines))
    return 0 if decision.allowed else 1


