"""The running mesh that an `identity` command talks to: its control plane's API socket."""

from pathlib import Path
from typing import Annotated, Any, Final

import httpx
from cyclopts import Parameter

from meshwarden.kernel import ConfigError, DependencyError, InputError

State = Annotated[Path, Parameter(name="--state")]
Json = Annotated[bool, Parameter(name="--json", negative="")]
HERE: Final = Path(".meshwarden")
_TIMEOUT_S: Final = 40.0


def ask(
    state: Path, method: str, path: str, body: dict[str, object] | None = None
) -> dict[str, Any]:
    """Return what the control plane of the mesh on `state` answers.

    Raises:
        ConfigError: `identity.not_running` where no control plane answers there.
        InputError: where it refuses what was asked.
        DependencyError: where it could not do it.
    """
    socket = state.absolute() / "run" / "api.sock"
    transport = httpx.HTTPTransport(uds=str(socket))
    try:
        with httpx.Client(transport=transport, timeout=_TIMEOUT_S) as client:
            answer = client.request(method, f"http://api{path}", json=body)
    except httpx.ConnectError as error:
        raise ConfigError(
            "identity.not_running",
            f"no mesh runs on the state directory {state}",
            hint="name that of a running `meshwarden up` with --state",
        ) from error
    except httpx.HTTPError as error:
        raise DependencyError(
            "identity.no_answer", f"the control plane on {state} does not answer: {error}"
        ) from error
    if answer.status_code == 200:
        found: dict[str, Any] = answer.json()
        return found
    raise _refusal(answer, state)


def _refusal(answer: httpx.Response, state: Path) -> InputError | DependencyError:
    try:
        problem = answer.json()
        title, detail = str(problem["title"]), str(problem["detail"])
        hint = str(problem.get("hint", ""))
    except (ValueError, KeyError, TypeError):
        title, detail, hint = "identity.no_answer", f"HTTP {answer.status_code}", ""
    if answer.status_code == 422:
        return InputError(title, detail, where=str(state), hint=hint)
    return DependencyError(title, detail, hint=hint)
