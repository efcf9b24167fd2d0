"""A text that must not be shown: private keys as PEM.

It prints as stars wherever it is formatted, logged or part of another value's representation; only
`reveal` gives the text, so that each place that needs it can be found.
"""

from typing import NoReturn, final


@final
class Secret:
    """A secret text.

    >>> str(Secret("-----BEGIN PRIVATE KEY-----"))
    '*****'
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __repr__(self) -> str:
        return "*****"

    def __format__(self, format_spec: str) -> str:
        return "*****"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
