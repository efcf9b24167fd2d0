"""Whatever is booked, in whatever order: rows sum to zero and nobody overdraws."""

import asyncio
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from meshwarden.lab.bank.books import Account, Transfer
from meshwarden.lab.bank.books_sqlite import SqliteBooks
from meshwarden.lab.bank.service import ProblemError

SOURCE = "acc-source"
PEOPLE = ("acc-a", "acc-b", "acc-c")
ACCOUNTS = [
    Account(id=name, currency=currency, may_overdraw=name == SOURCE)
    for name, currency in ((SOURCE, "EUR"), *((name, "EUR") for name in PEOPLE), ("acc-usd", "USD"))
]
NAMES = st.sampled_from([account.id for account in ACCOUNTS] + ["acc-unknown"])
TRANSFERS = st.lists(
    st.builds(
        Transfer,
        key=st.sampled_from([f"key-{number}" for number in range(12)]),
        debit=NAMES,
        credit=NAMES,
        amount_minor=st.integers(-5, 500),
        currency=st.sampled_from(["EUR", "EUR", "EUR", "USD"]),
        reference=st.just("-"),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=150)
@given(transfers=TRANSFERS)
def test_random_transfers_keep_the_books(transfers: list[Transfer]) -> None:
    asyncio.run(keep_the_books(transfers))


async def keep_the_books(transfers: list[Transfer]) -> None:
    books = SqliteBooks(":memory:")
    await books.open()
    await books.open_accounts(ACCOUNTS, [])
    booked = 0
    for transfer in transfers:
        with suppress(ProblemError):
            booked += await books.post(transfer, at_ms=1)
        report = await books.report()
        assert report["balanced"]
        assert report["entries"] == 2 * booked
    for account in (*PEOPLE, "acc-usd"):
        assert (await books.balance(account))[0] >= 0
    await books.close()
