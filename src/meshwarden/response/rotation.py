"""Secrets that can be replaced, as the response needs them: a port with one adapter for each kind.

One suite of tests holds for all of them:

- `rotate` makes a new secret and brings it to whoever may have it; the old one stays good for the
  overlap, so that healthy peers notice nothing. Called again with the same key (after a crash) it
  replaces nothing that peers have by then.
- `settle` waits until the overlap is over, makes the old one worthless, and says what shows that.
- Secrets are made by the operating system's generator. They appear in no error, log or record.
- Irreversible: an old secret does not come back. After a false alarm the new one simply stays.
"""

from typing import Protocol


class Rotation(Protocol):
    """One secret."""

    @property
    def name(self) -> str:
        """What it is, in words, without the secret."""
        ...

    async def check(self) -> str | None:
        """Return why it cannot be replaced now; None where it can. Changes nothing."""
        ...

    async def rotate(self, key: str) -> None:
        """Put a new secret in force; `key` names this replacement.

        Raises:
            DependencyError: where its place does not do it.
        """
        ...

    async def settle(self, key: str) -> str:
        """End the overlap of the replacement `key`; return what shows that the old one is gone.

        Raises:
            VerificationError: where the old one is still good.
            DependencyError: where its place does not answer.
        """
        ...
