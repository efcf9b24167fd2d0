"""Texts that must not be shown: they print as stars, and are not written by accident."""

from typing import NoReturn


class Hidden:
    """A text that prints as stars; `reveal` is the only way to it."""

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
