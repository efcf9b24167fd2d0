"""One customer's transfer, as the demonstration tells it."""

from meshwarden.kernel import Call, calls_to_table
from meshwarden.lab.chain import chain_of_a_transfer

BANK = "spiffe://bank.example/ns/core/sa"
LEDGER = f"{BANK}/ledger"


def call(time: int, source: str, destination: str, route: str, transaction: str | None) -> Call:
    return Call(
        time=time, source=source, destination=destination, protocol="http", method="POST",
        route=route, status=201, duration=1, reporter="destination", transaction=transaction,
    )  # fmt: skip


def transaction(name: str, asked: str, *, at: int) -> list[Call]:
    return [
        call(at, "external:10.0.0.9", f"{BANK}/gateway", asked, name),
        call(at + 2, f"{BANK}/payments", LEDGER, "/v1/transfers", name),
        call(at + 1, f"{BANK}/gateway", f"{BANK}/payments", asked, name),
    ]


def told(*calls: Call) -> tuple[str, ...]:
    return chain_of_a_transfer(calls_to_table(list(calls)), LEDGER)


def test_the_last_transfer_is_told_in_order_though_a_card_payment_came_later() -> None:
    found = told(
        *transaction("t1", "/v1/transfers", at=10),
        *transaction("c1", "/v1/card-payments", at=20),
        call(30, "external:10.0.0.9", f"{BANK}/gateway", "/v1/transfers", "never-booked"),
    )
    assert found == (
        "customer -> gateway POST /v1/transfers",
        "gateway -> payments POST /v1/transfers",
        "payments -> ledger POST /v1/transfers",
    )


def test_without_a_transfer_a_card_payment_is_told() -> None:
    found = told(*transaction("c1", "/v1/card-payments", at=20))
    assert found[0] == "customer -> gateway POST /v1/card-payments"


def test_nothing_booked_is_no_chain() -> None:
    assert told(call(1, f"{BANK}/payments", LEDGER, "/v1/transfers", None)) == ()
