"""The numbers that decide how the bank behaves, for its services and for their simulation alike."""

from typing import Final

STEP_UP_MINOR: Final = 1_000_00  # from this amount on: second factor, and a closer screening
INSTALMENT_SHARE: Final = 0.3  # the most that a loan may take of the monthly income
INCOMES: Final = 10  # the most that a loan may be, in monthly incomes
QUERIES_PER_CONNECTION: Final = 1000  # after so many the ledger replaces a database connection

# What the card network offers every merchant, and what an attacker who is one can misuse.
DOCUMENTS: Final = "/v1/documents"
ANNOUNCEMENTS: Final = "/v1/announcements"
COLLECTOR: Final = "Harbour Collect Ltd"  # the merchant that the attacker is
