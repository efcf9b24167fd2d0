"""`meshwarden policy`: policy as code: check it, ask it, have it explained, compile it."""

import errno
import gc
import json as jsonlib
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from meshwarden.adapters.yaml import load_document
from meshwarden.kernel import ConfigError, InputError, SpiffeId
from meshwarden.policy import AccessPolicy, Connection, HttpRequest, decide, notices, parse_policy
from meshwarden.policy import explain as explain_decision

app = App(
    name="policy",
    help="Policy as code: check, decide, explain, compile.",
    help_epilogue="Example: meshwarden policy check access.yaml",
    help_format="plaintext",
    result_action="return_value",
)

Json = Annotated[bool, Parameter(name="--json", negative="")]


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


@app.command(help_epilogue="Example: meshwarden policy check access.yaml --json")
def check(file: Path, *, json: Json = False) -> int:
    """Check a policy file; print what looks unwise in it. Exit 2 where it is wrong.

    Args:
        file: the policy.
        json: print one JSON object.
    """
    policy = parse_policy(load_document(file))
    found = notices(policy)
    rules = sum(len(service.accepts) for service in policy.services.values())
    if json:
        warnings = [asdict(notice) for notice in found]
        _print_json({"services": len(policy.services), "rules": rules, "warnings": warnings})
        return 0
    for notice in found:
        print(f"{notice.where}: warning: {notice.message} [{notice.code}]")
    print(f"{file}: {len(policy.services)} services, {rules} rules; warnings: {len(found)}")
    return 0


@app.command(
    name="decide",
    help_epilogue="Example: meshwarden policy decide access.yaml --from payments --to ledger"
    " --method GET --path /v1/accounts/7",
)
def decide_command(file: Path, question: Question, *, json: Json = False) -> int:
    """Answer whether one request or connection is allowed. Exit 0 allowed, 1 refused.

    Args:
        file: the policy.
        question: what is asked.
        json: print one JSON object: allowed, rule, fix.
    """
    policy = parse_policy(load_document(file))
    decision = decide(policy, _asked(policy, question), _claims(question))
    if json:
        answer = {"allowed": decision.allowed, "rule": decision.rule, "fix": decision.fix}
        _print_json(answer)
    elif decision.allowed:
        print(f"allowed by {decision.rule}")
    else:
        print(f"refused: {decision.reason}" + (f"; {decision.fix}" if decision.fix else ""))
    return 0 if decision.allowed else 1


@app.command(
    help_epilogue="Example: meshwarden policy explain access.yaml --from gateway --to ledger"
    " --method POST --path /v1/entries"
)
def explain(file: Path, question: Question, *, json: Json = False) -> int:
    """Explain one answer: the rule that decided, or the nearest rule and the smallest change.

    Args:
        file: the policy.
        question: what is asked.
        json: print one JSON object: allowed, rule, fix, explanation.
    """
    policy = parse_policy(load_document(file))
    asked, claims = _asked(policy, question), _claims(question)
    decision, lines = decide(policy, asked, claims), explain_decision(policy, asked, claims)
    if json:
        answer = {"allowed": decision.allowed, "rule": decision.rule, "fix": decision.fix}
        _print_json(answer | {"explanation": lines})
    else:
        print("\n".join(lines))
    return 0 if decision.allowed else 1


@app.command(
    name="compile",
    help_epilogue="Example: meshwarden policy compile access.yaml --target envoy -o filters/",
)
def compile_command(
    file: Path,
    *,
    target: Literal["envoy"],
    output: Annotated[Path, Parameter(name=["-o", "--output"])],
    service: str | None = None,
    strict: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Write a policy as the filters that enforce it, one JSON file each.

    What the target cannot check is refused by the filter, and listed on stderr.

    Args:
        file: the policy.
        target: what enforces it.
        output: directory that the files are written to; made where it is missing.
        service: only the filters of this service.
        strict: write nothing and exit 1 where the target cannot express all of it.
        json: print one JSON object: files, unexpressed.
    """
    from meshwarden.policy.targets import envoy  # noqa: PLC0415  # protobuf takes time to import

    gc.disable()  # a short run that makes hundreds of thousands of objects and drops none
    policy = parse_policy(load_document(file))
    lacking = envoy.unexpressed(policy, service)
    for part in lacking:
        print(f"{part.where}: {target} cannot express {part.rule}: {part.what}", file=sys.stderr)
    refused = strict and bool(lacking)
    files = [] if refused else _write_all(output, envoy.compile_filters(policy, service))
    if json:
        _print_json({"files": files, "unexpressed": [asdict(part) for part in lacking]})
    else:
        print("\n".join(files) or "nothing written")
    return 1 if refused else 0


def _asked(policy: AccessPolicy, question: Question) -> HttpRequest | Connection:
    source = _identity(policy, question.caller, "--from")
    destination = _identity(policy, question.callee, "--to")
    http = (question.method, question.path)
    if question.tcp is not None and http == (None, None):
        if not 1 <= question.tcp <= 65535:
            raise _usage("--tcp", "no port from 1 to 65535")
        return Connection(source=source, destination=destination, port=question.tcp)
    if question.tcp is not None or question.method is None or question.path is None:
        raise _usage("arguments", "ask with --method and --path, or with --tcp alone")
    return HttpRequest(
        source=source, destination=destination, method=question.method, path=question.path
    )


def _identity(policy: AccessPolicy, text: str, option: str) -> SpiffeId:
    if text in policy.services:
        return policy.services[text].identity
    if "://" in text:
        return SpiffeId.parse(text)
    raise _usage(option, f"no service is called {text!r}; known: {', '.join(policy.services)}")


def _claims(question: Question) -> Mapping[str, Any] | None:
    if question.claims is None:
        return None
    try:
        claims = jsonlib.loads(question.claims)
    except (ValueError, RecursionError) as error:
        raise _usage("--claims", "not JSON") from error
    if not isinstance(claims, dict):
        raise _usage("--claims", "not a JSON object")
    return claims


def _usage(where: str, message: str) -> InputError:
    return InputError("policy.usage", message, where=where, hint="see --help")


def _write_all(folder: Path, documents: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Write all files or none (first beside their places, then moved); return their paths."""
    ready: list[tuple[Path, Path]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, document in documents.items():
            aside = folder / f".{name}.new"
            if (folder / name).is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{name} is a directory")
            ready.append((aside, folder / name))
            aside.write_text(jsonlib.dumps(document, indent=1) + "\n", encoding="utf-8")
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


def _print_json(value: Mapping[str, Any]) -> None:
    print(jsonlib.dumps(value))
