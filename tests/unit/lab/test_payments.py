"""Transfers, card payments and loans through all the services that they touch."""

from typing import Any

import httpx
import pytest
from tests.unit.lab.whole_bank import Bank, bearer, transfer

from meshwarden.lab.bank.books import opening
from meshwarden.lab.bank.cardnetwork import CLOSED_MERCHANT
from meshwarden.lab.bank.directory import CARD_SETTLEMENT, LENDING, SANCTIONED


@pytest.fixture
async def headers(bank: Bank, client: httpx.AsyncClient) -> dict[str, str]:
    return await bearer(bank, client, otp=True)


async def balances(bank: Bank) -> tuple[int, int]:
    ada, _ = await bank.books.balance(bank.ada.accounts[0])
    bob, _ = await bank.books.balance(bank.bob.accounts[0])
    return ada, bob


async def test_transfer_moves_money_once_and_tells_the_customer(
    bank: Bank, client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    before = await balances(bank)
    for _ in range(2):
        response = await client.post(
            "http://gateway/v1/transfers", json=transfer(bank), headers=headers
        )
        assert (response.status_code, response.json()["status"]) == (201, "booked")
    assert await balances(bank) == (before[0] - 12_34, before[1] + 12_34)
    assert (bank.ada.id, "transfer-booked") in bank.messages
    assert (await bank.books.report())["balanced"]


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"amount_minor": 0}, 422, "input.invalid"),
        ({"amount_minor": 1.5}, 422, "input.invalid"),
        ({"amount_minor": True}, 422, "input.invalid"),
        ({"amount_minor": "5"}, 422, "input.invalid"),
        ({"amount_minor": 10**30}, 422, "input.invalid"),
        ({"currency": "eur"}, 422, "input.invalid"),
        ({"key": "short"}, 422, "input.invalid"),
        ({"debit": "acc-1"}, 422, "input.invalid"),
        ({"beneficiary": "a\nb"}, 422, "input.invalid"),
        ({"surprise": 1}, 422, "input.invalid"),
        ({"amount_minor": 10**11}, 409, "ledger.insufficient_funds"),
        ({"currency": "USD"}, 404, "ledger.unknown_account"),
        ({"credit": "acc-00000000-0000-4000-8000-0000000000ff"}, 404, "ledger.unknown_account"),
        ({"debit": CARD_SETTLEMENT}, 404, "accounts.unknown"),
        ({"beneficiary": SANCTIONED[0].upper()}, 422, "screening.blocked"),
    ],
)
async def test_transfer_that_cannot_be_moves_nothing(
    bank: Bank,
    client: httpx.AsyncClient,
    headers: dict[str, str],
    changes: dict[str, Any],
    status: int,
    code: str,
) -> None:
    before = await bank.books.report()
    response = await client.post(
        "http://gateway/v1/transfers", json=transfer(bank, **changes), headers=headers
    )
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert await bank.books.report() == before


async def test_a_large_transfer_is_booked_where_a_second_factor_is_demanded(
    bank: Bank, client: httpx.AsyncClient
) -> None:
    headers = await bearer(bank, client)
    for amount_minor, where in ((999_99, "transfers"), (1_000_00, "large-transfers")):
        order = transfer(bank, amount_minor=amount_minor, key=f"key-of-{amount_minor:012}")
        booked = await client.post("http://gateway/v1/transfers", json=order, headers=headers)
        assert booked.status_code == 201
        assert bank.asked.count(("ledger", "POST", f"/v1/{where}")) == 1


async def test_transfer_to_the_same_account_is_refused(
    bank: Bank, client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    order = transfer(bank, credit=bank.ada.accounts[0])
    response = await client.post("http://gateway/v1/transfers", json=order, headers=headers)
    assert response.json()["code"] == "ledger.same_account"


async def test_key_with_other_content_is_refused(
    bank: Bank, client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    url = "http://gateway/v1/transfers"
    await client.post(url, json=transfer(bank), headers=headers)
    response = await client.post(url, json=transfer(bank, amount_minor=1), headers=headers)
    assert (response.status_code, response.json()["code"]) == (409, "ledger.key_reused")


async def test_payments_split_below_the_threshold_are_held(
    bank: Bank, client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    statuses = []
    for number in range(3):
        order = transfer(bank, key=f"key-split-{number}", amount_minor=9_500_00)
        response = await client.post("http://gateway/v1/transfers", json=order, headers=headers)
        statuses.append(response.json()["status"])
    assert statuses == ["booked", "booked", "held"]


async def test_booking_stands_when_the_message_cannot_be_sent(
    bank: Bank, client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    bank.down["notifications"] = httpx.ReadTimeout("x")
    response = await client.post(
        "http://gateway/v1/transfers", json=transfer(bank), headers=headers
    )
    assert response.json()["status"] == "booked"


@pytest.mark.parametrize(
    ("merchant", "status", "moved"), [("Bakery", "booked", 5_00), (CLOSED_MERCHANT, "declined", 0)]
)
async def test_card_payment_is_booked_where_the_network_approves(
    bank: Bank,
    client: httpx.AsyncClient,
    headers: dict[str, str],
    merchant: str,
    status: str,
    moved: int,
) -> None:
    payment = {
        "key": "key-card-1",
        "debit": bank.ada.accounts[0],
        "amount_minor": 5_00,
        "currency": "EUR",
        "merchant": merchant,
    }
    response = await client.post("http://gateway/v1/card-payments", json=payment, headers=headers)
    assert response.json()["status"] == status
    assert (await bank.books.balance(CARD_SETTLEMENT))[0] == moved


@pytest.mark.parametrize(
    ("income_minor", "status", "lent"), [(2_000_00, "approved", 1_200_00), (100_00, "declined", 0)]
)
async def test_affordable_loan_is_paid_out(
    bank: Bank,
    client: httpx.AsyncClient,
    headers: dict[str, str],
    income_minor: int,
    status: str,
    lent: int,
) -> None:
    application = {
        "key": "key-loan-1",
        "account": bank.ada.accounts[0],
        "amount_minor": 1_200_00,
        "months": 12,
        "income_minor": income_minor,
    }
    response = await client.post(
        "http://gateway/v1/credit-applications", json=application, headers=headers
    )
    assert response.json()["status"] == status
    assert (await bank.books.balance(LENDING))[0] == -lent


async def test_loan_for_another_customers_account_is_refused(
    bank: Bank, client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    application = {
        "key": "key-loan-1",
        "account": bank.bob.accounts[0],
        "amount_minor": 1_200_00,
        "months": 12,
        "income_minor": 2_000_00,
    }
    response = await client.post(
        "http://gateway/v1/credit-applications", json=application, headers=headers
    )
    assert response.json()["code"] == "accounts.unknown"


async def test_opening_gives_every_account_its_history(bank: Bank) -> None:
    accounts, history = opening(bank.directory)
    assert len(history) == 10 * 2 * bank.directory.count
    rows = await bank.books.entries(bank.ada.accounts[1], limit=10)
    assert len(rows) == 10
    assert len({account.id for account in accounts}) == len(accounts)


async def test_only_known_messages_are_taken(bank: Bank, client: httpx.AsyncClient) -> None:
    url = "http://notifications/v1/messages"
    body = {"customer": bank.ada.id, "template": "win-a-prize"}
    assert (await client.post(url, json=body)).status_code == 422


async def test_unknown_route_is_a_problem_in_json(client: httpx.AsyncClient) -> None:
    response = await client.get("http://ledger/v1/nothing")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
