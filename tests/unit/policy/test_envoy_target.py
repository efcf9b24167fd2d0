import pytest
from google.protobuf.json_format import MessageToJson

from meshwarden.kernel import InputError
from meshwarden.policy import AccessPolicy
from meshwarden.policy.targets import envoy


def test_what_a_rule_with_a_token_would_allow_is_not_in_the_filter(bank: AccessPolicy) -> None:
    assert "/v1/transfers" not in MessageToJson(envoy.compile_http_filter(bank, "payments"))
    assert "/v1/entries" in MessageToJson(envoy.compile_http_filter(bank, "ledger"))


def test_what_is_not_enforced_as_written_is_reported(bank: AccessPolicy) -> None:
    found = envoy.unexpressed(bank)
    assert [(part.rule, part.where) for part in found] == [("payments.accepts[0]", "access.yaml:9")]
    assert envoy.unexpressed(bank, "ledger") == ()


def test_each_service_gets_a_filter_for_http_and_one_for_each_port(bank: AccessPolicy) -> None:
    assert set(envoy.compile_filters(bank)) == {
        "gateway.http.json", "statements.http.json", "payments.http.json", "ledger.http.json",
        "ledger-db.http.json", "ledger-db.tcp-5432.json",
    }  # fmt: skip
    assert set(envoy.compile_filters(bank, "ledger")) == {"ledger.http.json"}


def test_the_same_policy_compiles_to_the_same_bytes(bank: AccessPolicy) -> None:
    one, other = (
        envoy.compile_http_filter(bank, "ledger").SerializeToString(deterministic=True)
        for _ in range(2)
    )
    assert one == other


def test_a_service_that_is_not_there_has_no_filter(bank: AccessPolicy) -> None:
    with pytest.raises(InputError, match="no service is called 'lodger'"):
        envoy.compile_http_filter(bank, "lodger")
