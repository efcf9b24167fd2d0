"""What is known before the first call: options that commands which score calls share."""

from dataclasses import dataclass
from pathlib import Path

from cyclopts import Parameter

from meshwarden.adapters.yaml import load_document
from meshwarden.control.watching.declared import DeclaredPolicy
from meshwarden.policy import parse_policy


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Prior:
    """What is known before.

    Attributes:
        baseline: begin with what `behaviour learn` wrote; without one, the first minutes are
            warm-up.
        policy: access policy; new calls that it allows surprise less, those that it denies more.
    """

    baseline: Path | None = None
    policy: Path | None = None

    def declared(self) -> DeclaredPolicy | None:
        """Return what the policy declares; None where none is named.

        Raises:
            ConfigError, InputError: it cannot be read, or is no policy.
        """
        return load_declared(self.policy)


def load_declared(path: Path | None) -> DeclaredPolicy | None:
    """Return what the access policy in the file `path` declares; None where there is no file."""
    return None if path is None else DeclaredPolicy(parse_policy(load_document(path)))
