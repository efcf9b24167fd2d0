import pytest
from tests.unit.policy.traffic_cases import call, observed, policy_of

from meshwarden.kernel import Call
from meshwarden.policy import TokenRequirement
from meshwarden.policy.traffic import Judge, Verdict


@pytest.mark.parametrize(
    ("asked", "verdict"),
    [
        (call("/v1/accounts/{}"), Verdict.ALLOWED),
        (call("/v1/accounts/9"), Verdict.ALLOWED),
        (call("/v1/reports/{}/x"), Verdict.ALLOWED),
        (call("/v1/reports/**"), Verdict.ALLOWED),
        (call("/v1/accounts/{}/limit", "PUT", source="payments"), Verdict.UNDECIDED),
        (call("/v1/{}/{}"), Verdict.UNDECIDED),
        (call("/**"), Verdict.UNDECIDED),
        (call(None), Verdict.UNDECIDED),
        (call("/v1/accounts/{}", None), Verdict.UNDECIDED),
        (call("/v1/accounts/{}", "DELETE", source="payments"), Verdict.UNDECIDED),
        (call("/v1/accounts/{}", "PUT", source="payments"), Verdict.REFUSED),
        (call("/v1/accounts/{}/{}"), Verdict.REFUSED),
        (call("/v1/accounts/"), Verdict.REFUSED),
        (call("/v1/accounts/%2e%2e;/x"), Verdict.REFUSED),
        (call(source="ledger"), Verdict.REFUSED),
        (call(destination="spiffe://bank.example/nobody"), Verdict.REFUSED),
        (call(tcp=5432, source="payments"), Verdict.ALLOWED),
        (call(tcp=5432), Verdict.REFUSED),
        (call(source="payments", destination="external:cards.example"), Verdict.ALLOWED),
        (call(source="payments", destination="external:evil.example"), Verdict.REFUSED),
        (call(source="external:1.2.3.4"), Verdict.NOT_JUDGED),
        (call(source="unknown"), Verdict.NOT_JUDGED),
        (call(mtls=False), Verdict.NOT_JUDGED),
        (call(denied=True, rule="tls:expired"), Verdict.NOT_JUDGED),
        (call(denied=True, rule="default-deny"), Verdict.ALLOWED),
    ],
)
def test_verdicts_say_no_more_than_the_record_does(asked: Call, verdict: Verdict) -> None:
    (seen,) = observed(asked)
    assert Judge(policy_of()).judge(seen).verdict is verdict


def test_a_token_that_the_record_proves_decides() -> None:
    judge = Judge(policy_of())
    (seen,) = observed(call("/v1/accounts/{}", "DELETE", source="payments"))
    assert judge.judge(seen, TokenRequirement(scopes=("close",))).verdict is Verdict.ALLOWED
    assert judge.judge(seen, TokenRequirement(scopes=("x",))).verdict is Verdict.UNDECIDED
