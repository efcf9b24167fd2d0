"""`meshwarden gate`: judge manifests before they are merged."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.rego import SHIPPED, RuleSet, load_rules
from meshwarden.adapters.yaml import load_bytes, load_document
from meshwarden.control.gate import Gate, judge_paths
from meshwarden.kernel import ConfigError, DependencyError
from meshwarden.kernel.finding import Severity
from meshwarden.policy.gate.baseline import parse_baseline, render_baseline
from meshwarden.policy.gate.model import exit_code
from meshwarden.policy.gate.render import RENDERERS, Format
from meshwarden.policy.gate.settings import Settings, parse_settings

if TYPE_CHECKING:
    from meshwarden.control.gate.proposed import Proposal

app = App(
    name="gate",
    help="Judge manifests, Terraform plans, Compose files and access policies.",
    help_epilogue="Example: helm template shop/ | meshwarden gate - deploy/ --format github",
    help_format="plaintext",
    result_action="return_value",
)

DEFAULT_CONFIG = Path("meshwarden-gate.yaml")


@app.default
def gate(  # noqa: PLR0913  # one for each option
    *paths: Annotated[str, Parameter(allow_leading_hyphen=True)],
    format: Annotated[  # noqa: A002  # the option's name
        Literal["text", "json", "sarif", "junit", "github", "markdown"], Parameter(name="--format")
    ] = "text",
    json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    fail_on: Literal["low", "medium", "high", "critical"] = "high",
    rules: tuple[Path, ...] = (),
    config: Path | None = None,
    against: Path | None = None,
    calls: tuple[Path, ...] = (),
    baseline: Path | None = None,
    write_baseline: Path | None = None,
    time_limit: float = 20.0,
    output: Annotated[Path | None, Parameter(name=["-o", "--output"])] = None,
) -> int:
    """Judge what lies under the paths. Exit 1 with findings, 2 where something could not be judged.

    Args:
        paths: files and folders; `-` is standard input. A folder with Chart.yaml or
            kustomization.yaml is judged by its rendered output.
        format: of the report.
        json: the same as --format json.
        fail_on: exit 1 from this severity up.
        rules: folder of rules of your own, beside those that ship; may be given several times.
        config: the configuration; meshwarden-gate.yaml in this directory, if it is there.
        against: the access policy before the change: who may newly reach what, and who no longer.
        calls: recorded calls (Parquet, CSV, a folder): which ones the changed policy would refuse.
        baseline: file of old findings, which do not count.
        write_baseline: write all findings to this file, as a baseline; exit 0.
        time_limit: seconds that the rules may take for one object.
        output: write the report to this file.
    """
    for path in paths:
        if path.startswith("-") and path != "-":
            raise ConfigError(
                "gate.option", f"unknown option {path}", hint="meshwarden gate --help"
            )
    comparison = _comparison(against, calls)
    judged = judge_paths(
        Gate(
            rules=all_rules(rules),
            settings=load_settings(config),
            compare=comparison.findings if comparison else None,
            baseline=_baseline(baseline),
            today=SystemClock().now().date(),
            limit_s=max(0.1, time_limit),
        ),
        paths or (".",),
    )
    if write_baseline is not None:
        _write(write_baseline, render_baseline(judged.counted))
    _emit(RENDERERS[Format("json" if json else format)](judged), output)
    code = exit_code(judged, Severity(fail_on))
    return 0 if write_baseline is not None and code == 1 else code


def _comparison(against: Path | None, calls: tuple[Path, ...]) -> "Proposal | None":
    if against is None and not calls:
        return None
    from meshwarden.control.gate.proposed import load_proposal  # noqa: PLC0415  # imports Arrow

    return load_proposal(against, calls)


def all_rules(folders: tuple[Path, ...]) -> RuleSet:
    """Return the shipped rules and those in `folders`."""
    found = load_rules(SHIPPED)
    for folder in folders:
        found += load_rules(folder)
    return found


def load_settings(config: Path | None) -> Settings:
    """Return the configuration in `config`, or in its default place, or the default."""
    if config is None and not DEFAULT_CONFIG.is_file():
        return Settings()
    return parse_settings(load_document(config or DEFAULT_CONFIG))


def _baseline(path: Path | None) -> frozenset[str]:
    return frozenset() if path is None else parse_baseline(load_bytes(path), where=str(path))


def _emit(text: str, output: Path | None) -> None:
    if output is None:
        print(text, end="")
    else:
        _write(output, text)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        hint = "check the path and its permissions"
        text = f"cannot write {path}: {error.strerror}"
        raise DependencyError("gate.write", text, hint=hint) from error
