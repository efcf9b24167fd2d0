"""What the subcommands of `meshwarden policy` share: options, questions, answers, files."""

import errno
import json as jsonlib
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from meshwarden.adapters.yaml import load_document
from meshwarden.kernel import ConfigError, InputError, SpiffeId
from meshwarden.policy import AccessPolicy, Connection, HttpRequest, parse_policy

Json = Annotated[bool, Parameter(name="--json", negative="")]
Calls = Annotated[list[Path], Parameter(name="--calls")]
Markdown = Annotated[bool, Parameter(name="--markdown", negative="")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of a policy.

    Attributes:
        caller: who calls: a service's name or a SPIFFE ID.
        callee: who is called: a service's name or a SPIFFE ID.
        method: HTTP method; with --path.
        path: path as sent, with or without a query; with --method.
        tcp: port of a connection, instead of --method and --path.
        claims: claims of the caller's verified transaction token, a JSON object.
    """

    caller: Annotated[str, Parameter(name="--from")]
    callee: Annotated[str, Parameter(name="--to")]
    method: str | None = None
    path: str | None = None
    tcp: int | None = None
    claims: str | None = None


def load_policy(file: Path) -> AccessPolicy:
    """Return the policy in `file`; ConfigError or InputError where there is none."""
    return parse_policy(load_document(file))


def asked_of(policy: AccessPolicy, question: Question) -> HttpRequest | Connection:
    """Return what is asked; InputError `policy.usage` where that is not clear."""
    source = identity_of(policy, question.caller, "--from")
    destination = identity_of(policy, question.callee, "--to")
    http = (question.method, question.path)
    if question.tcp is not None and http == (None, None):
        if not 1 <= question.tcp <= 65535:
            raise usage_error("--tcp", "no port from 1 to 65535")
        return Connection(source=source, destination=destination, port=question.tcp)
    if question.tcp is not None or question.method is None or question.path is None:
        raise usage_error("arguments", "ask with --method and --path, or with --tcp alone")
    return HttpRequest(
        source=source, destination=destination, method=question.method, path=question.path
    )


def identity_of(policy: AccessPolicy, text: str, option: str) -> SpiffeId:
    """Return the SPIFFE ID that `text` names or is."""
    if text in policy.services:
        return policy.services[text].identity
    if "://" in text:
        return SpiffeId.parse(text)
    raise usage_error(option, f"no service is called {text!r}; known: {', '.join(policy.services)}")


def claims_of(text: str | None) -> Mapping[str, Any] | None:
    """Return the claims that were given as JSON; None where none were."""
    if text is None:
        return None
    try:
        claims = jsonlib.loads(text)
    except (ValueError, RecursionError) as error:
        raise usage_error("--claims", "not JSON") from error
    if not isinstance(claims, dict):
        raise usage_error("--claims", "not a JSON object")
    return claims


def usage_error(where: str, message: str) -> InputError:
    """Return the error of an argument that cannot be used."""
    return InputError("policy.usage", message, where=where, hint="see --help")


def write_text(path: Path, text: str) -> None:
    """Replace the file `path` as a whole; ConfigError `file.unwritable` where that fails."""
    aside = path.with_name(f".{path.name}.new")
    try:
        aside.write_bytes(text.encode())
        aside.replace(path)
    except OSError as error:
        raise ConfigError(
            "file.unwritable",
            f"cannot write {path}: {error.strerror}",
            hint="check the path, its permissions and the free space",
        ) from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def write_all(folder: Path, texts: Mapping[str, str]) -> list[str]:
    """Write all files or none (first beside their places, then moved); return their paths."""
    ready: list[tuple[Path, Path]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            aside = folder / f".{name}.new"
            if (folder / name).is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{name} is a directory")
            ready.append((aside, folder / name))
            aside.write_text(text, encoding="utf-8")
        for aside, path in ready:
            aside.replace(path)
    except OSError as error:
        raise ConfigError(
            "file.unwritable",
            f"cannot write to {folder}: {error.strerror}",
            hint="check the path, its permissions and the free space",
        ) from error
    finally:
        for aside, _ in ready:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
    return [str(path) for _, path in ready]


def print_json(value: Mapping[str, Any]) -> None:
    """Print one object, and nothing else."""
    print(jsonlib.dumps(value))


def say_rejected(rejected: Mapping[str, int]) -> None:
    """Say on stderr which rows could not be read as calls."""
    if rejected:
        reasons = ", ".join(f"{count} {why}" for why, count in rejected.items())
        print(f"meshwarden: rows left out: {reasons}", file=sys.stderr)
