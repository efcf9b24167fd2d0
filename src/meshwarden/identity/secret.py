"""A text that must not be shown: private keys as PEM.

It prints as stars wherever it is formatted, logged or part of another value's representation; only
`reveal` gives the text, so that each place that needs it can be found.
"""

from typing import final

from meshwarden.kernel.hidden import Hidden


@final
class Secret(Hidden):
    """A secret text.

    >>> str(Secret("-----BEGIN PRIVATE KEY-----"))
    '*****'
    """

    __slots__ = ()
