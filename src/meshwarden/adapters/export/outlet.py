"""The contract of everything that findings go to."""

from typing import Protocol

from meshwarden.kernel import Finding


class Outlet(Protocol):
    """Takes findings, one by one, in their order; the same one may come twice."""

    @property
    def name(self) -> str:
        """What it is, in words, without any secret."""
        ...

    @property
    def address(self) -> str:
        """Where it delivers, in full: another address is another outlet. It may hold a secret."""
        ...

    async def deliver(self, finding: Finding) -> None:
        """Deliver `finding`; DependencyError where it may not have arrived."""
        ...
