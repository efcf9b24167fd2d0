"""The one root of all errors, and the few classes below it that someone catches separately.

A policy refusal, a finding, an action's outcome are values, not errors. The entry point alone turns
errors into exit codes, HTTP problems and text; adapters convert foreign exceptions and keep the
cause.
"""


class MeshwardenError(Exception):
    """What went wrong, under a stable dotted code, and what to do about it.

    Args:
        code: stable and dotted (`policy.unknown_key`); tests and machines match on it.
        message: one sentence: what, and where.
        hint: what the reader can do next; empty where there is nothing to say.
    """

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(MeshwardenError):
    """A setting, an argument or the machine itself is not usable; exit code 2."""


class InputError(MeshwardenError):
    """Bytes from outside break their format; exit code 2.

    Args:
        code: as for the root.
        message: as for the root, without the place.
        where: `file:line`, `file:line:column`, or the name of what was read.
        hint: as for the root.
    """

    def __init__(self, code: str, message: str, *, where: str, hint: str = "") -> None:
        super().__init__(code, message, hint=hint)
        self.where = where

    def __str__(self) -> str:
        return f"{self.where}: {super().__str__()}"


class VerificationError(MeshwardenError):
    """A proof (certificate, signature, digest) does not hold."""


class StateError(MeshwardenError):
    """What is asked does not fit the state that things are in; exit code 3."""


class DependencyError(MeshwardenError):
    """Something outside (a process, a socket, a disk) failed; exit code 3.

    Args:
        code: as for the root.
        message: as for the root.
        hint: as for the root.
        retry_after_s: seconds after which another try makes sense; None where it does not.
    """

    def __init__(
        self, code: str, message: str, *, hint: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(code, message, hint=hint)
        self.retry_after_s = retry_after_s
