import httpx
import pytest

from meshwarden.lab.bank.aml import normalize_name
from meshwarden.lab.bank.directory import Directory
from meshwarden.lab.bank.service import outbound_client


async def test_others_are_reached_through_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.1.2.3:15001")
    async with outbound_client() as client:
        transport = client._transport_for_url(httpx.URL("http://ledger/v1/transfers"))
        assert transport is not client._transport


@pytest.mark.parametrize("name", ["MIRO VASEK", "Miro  Vasek ", "Miró Vašek"])
def test_names_are_compared_without_case_accents_and_spaces(name: str) -> None:
    assert normalize_name(name) == "miro vasek"


def test_directory_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    one, same, other = Directory("a", 3), Directory("a", 3), Directory("b", 3)
    assert one.customer(1) == same.customer(1)
    assert one.customer(1).id != other.customer(1).id
    assert one.customer(1).password != other.customer(1).password


@pytest.mark.parametrize("user_name", ["customer000003", "customer00001", "root", "", "customer-1"])
def test_nobody_has_a_name_outside_the_directory(user_name: str) -> None:
    assert Directory("a", 3).by_user_name(user_name) is None
