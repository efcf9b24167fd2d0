"""Renders a Helm chart or a Kustomize folder with the user's own tool."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

from meshwarden.adapters.manifests.discover import Package, Source
from meshwarden.policy.gate.model import Problem

TIMEOUT_S: Final = 120.0
"""For charts with many dependencies; what takes longer is stuck on a network that is not there."""


def command_for(package: Package) -> list[str] | None:
    """Return the command that renders `package`, or None where no tool for it is installed."""
    folder = str(package.folder)
    if package.tool == "helm":
        return ["helm", "template", "gate", folder] if shutil.which("helm") else None
    if shutil.which("kustomize"):
        return ["kustomize", "build", folder]
    return ["kubectl", "kustomize", folder] if shutil.which("kubectl") else None


def render(package: Package) -> Source | Problem | str:
    """Return the rendered manifests, what went wrong, or why the package is skipped."""
    command = command_for(package)
    if command is None:
        tools = "helm" if package.tool == "helm" else "kustomize or kubectl"
        return f"{package.folder}: not judged, it has to be rendered and there is no {tools}"
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return _failed(package.folder, command, str(error))
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return _failed(package.folder, command, lines[-1] if lines else "no output")
    return Source(name=str(package.folder), raw=done.stdout, named=True)


def _failed(folder: Path, command: list[str], why: str) -> Problem:
    return Problem(
        source=str(folder),
        line=1,
        code="gate.render",
        message=f"`{' '.join(command)}` failed: {why[:300]}",
        hint="run it by hand and correct what it names",
    )
