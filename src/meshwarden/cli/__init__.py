"""The command line: one module per command, imported only when it is called.

Exit codes, the same everywhere: 0 fine, 1 findings or violations, 2 bad input or usage, 3 the
system failed. Here alone errors become text: one line that says what, where and what to do. With
`--json`, stdout is one object and nothing else.
"""

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from meshwarden.kernel import ConfigError, InputError, MeshwardenError

COMMANDS = {
    "demo": "The sample bank under zero trust, with load, and what must fail.",
    "up": "Your own services, each behind a sidecar.",
    "serve": "The control plane alone.",
    "identity": "Identities: who may have which, what is issued; revoke and rotate.",
    "token": "Transaction tokens: explain one, revoke, look at the chain.",
    "policy": "Policy as code: check, decide, explain, compile.",
    "behaviour": "What is normal between services, and what is not.",
    "survey": "From logs alone: who talks to whom, what is odd, and how sure that is.",
    "calls": "Recorded calls: import, list, summary, graph.",
    "findings": "What was found: list it, export it.",
    "incident": "Incidents: what is done about findings, and your word in it.",
    "gate": "Judge manifests, Terraform plans, Compose files, access policies.",
    "rules": "The rules of the gate: list, explain, test.",
    "admission": "The gate as a validating admission webhook.",
}


def build_app() -> App:
    """Return the application; commands are import paths, so that `--help` imports none of them."""
    app = App(
        name="meshwarden",
        help="Secures the calls between services: who is calling, may it, and the record of both.",
        help_format="plaintext",
        version_flags=["--version"],
        result_action="return_value",
    )
    for name, summary in COMMANDS.items():
        app.command(f"meshwarden.cli.{name}:app", name=name, help=summary)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Return the exit code of `meshwarden <arguments>`."""
    try:
        code = build_app()(list(arguments) or ["--help"], exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        return _say(" ".join(str(error).split()), hint="meshwarden --help", code=2)
    except (ConfigError, InputError) as error:
        return _say(str(error), code=2)
    except MeshwardenError as error:
        return _say(str(error), code=3)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return code if isinstance(code, int) else 0


def _say(message: str, *, hint: str = "", code: int) -> int:
    from meshwarden.cli.calls_text import printable  # noqa: PLC0415  # slow, and needed here alone

    print(printable(f"meshwarden: {message}{f' ({hint})' if hint else ''}"), file=sys.stderr)
    return code
