"""Asks a sidecar to open its access log anew, after the file was renamed away."""

from pathlib import Path

from meshwarden.adapters.envoy.admin import ask


def reopen_logs(admin: Path) -> None:
    """Let the sidecar whose admin socket is `admin` reopen its logs.

    It closes the old file before it opens the new one: once the new file is there, the old one is
    complete. DependencyError `sidecar.admin` where it does not answer.
    """
    ask(admin, "POST", "/reopen_logs")
