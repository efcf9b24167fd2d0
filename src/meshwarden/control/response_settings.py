"""The mesh file's `response` section: how a mesh responds to what is found.

```yaml
response:                        # all optional
  playbooks: [quarantine, observe]   # in order of preference; own ones by path
  guard_rails: guard-rails.yaml
  evidence_mb: 1024              # of one archive
  secrets: {payments: [{file: /etc/payments/api-key}]}       # see rotation_settings
```
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from meshwarden.control.rotation_settings import SecretSettings, parse_secrets
from meshwarden.kernel import Node

DEFAULT: Final = ("quarantine", "observe")
"""Quarantine where confidence is high, observe the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseSettings:
    """How a mesh responds.

    Attributes:
        playbooks: names of shipped ones, or absolute paths of files, in order of preference.
        guard_rails: file of the limits; None: the defaults, which are strict.
        evidence_bytes: octets that one archive of evidence may hold.
        secrets: by service, the secrets that it can read and how they are replaced.
    """

    playbooks: tuple[str, ...] = DEFAULT
    guard_rails: Path | None = None
    evidence_bytes: int = 1 << 30
    secrets: Mapping[str, tuple[SecretSettings, ...]] = field(default_factory=dict)


def parse_response(node: Node | None, directory: Path) -> ResponseSettings:
    """Return the settings of `node`; InputError where it breaks the format.

    Paths are relative to `directory`. What the files say is seen when they are loaded.
    """
    if node is None:
        return ResponseSettings()
    fields = node.fields(optional=["playbooks", "guard_rails", "evidence_mb", "secrets"])
    playbooks, rails = fields.get("playbooks"), fields.get("guard_rails")
    size, secrets = fields.get("evidence_mb"), fields.get("secrets")
    return ResponseSettings(
        playbooks=DEFAULT
        if playbooks is None
        else tuple(_placed(one, directory) for one in playbooks.texts()),
        guard_rails=None if rails is None else directory / rails.text(),
        evidence_bytes=(1 << 30) if size is None else size.integer(1, 1 << 20) << 20,
        secrets={} if secrets is None else parse_secrets(secrets, directory),
    )


def _placed(name: str, directory: Path) -> str:
    own = "/" in name or name.endswith((".yaml", ".yml"))
    return str(directory / name) if own else name
