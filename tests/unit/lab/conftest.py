from collections.abc import AsyncIterator

import httpx
import pytest
from tests.unit.lab.whole_bank import Bank

from meshwarden.lab.bank.books import opening
from meshwarden.lab.bank.books_sqlite import SqliteBooks
from meshwarden.lab.bank.directory import Directory


@pytest.fixture
async def bank() -> AsyncIterator[Bank]:
    directory = Directory("unit", 4)
    books = SqliteBooks(":memory:")
    await books.open()
    await books.open_accounts(*opening(directory))
    bank = Bank(books=books, directory=directory)
    async with httpx.AsyncClient(transport=bank) as client:
        bank.start(client)
        yield bank
    await books.close()


@pytest.fixture
async def client(bank: Bank) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=bank) as client:
        yield client
