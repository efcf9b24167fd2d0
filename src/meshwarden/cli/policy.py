"""`meshwarden policy`: policy as code. One module for each subcommand, imported when called."""

from typing import Final

from cyclopts import App

app = App(
    name="policy",
    help="Policy as code: learn it, judge it, compare it, compile it, see it enforced.",
    help_epilogue="Example: meshwarden policy check access.yaml",
    help_format="plaintext",
    result_action="return_value",
)
ASK: Final = "--from payments --to ledger --method GET --path /v1/accounts/7"
SUBCOMMANDS: Final = (
    ("check", "check:check", "Whether it can be meant; what is unwise.", "access.yaml --json"),
    ("decide", "decide:decide_command", "One answer.", f"access.yaml {ASK}"),
    ("explain", "explain:explain", "Who denied, and the fix.", f"access.yaml {ASK} --patch"),
    ("learn", "learn:learn", "The least policy, from calls.", "calls.parquet -o access.yaml"),
    (
        "unused",
        "unused:unused",
        "Grants that no call used, and tighter ones.",
        "access.yaml --calls calls.parquet --days 30",
    ),
    (
        "diff",
        "diff:diff",
        "Who may newly reach what, exactly.",
        "old.yaml new.yaml --markdown",
    ),
    (
        "replay",
        "replay:replay_command",
        "Which recorded calls would be refused.",
        "new.yaml --calls calls.parquet --policy old.yaml",
    ),
    (
        "compile",
        "compile:compile_command",
        "Written as what enforces it.",
        "access.yaml --target istio -o manifests/",
    ),
    (
        "import",
        "import:import_command",
        "What a cluster enforces already, as a policy.",
        "manifests/ --layer istio -o access.yaml",
    ),
    (
        "drift",
        "drift:drift_command",
        "Whether a cluster enforces it as written.",
        "access.yaml --target istio --against held.yaml",
    ),
)
for _name, _place, _summary, _example in SUBCOMMANDS:
    app.command(
        f"meshwarden.cli.policy_{_place}",
        name=_name,
        help=_summary,
        help_epilogue=f"Example: meshwarden policy {_name} {_example}",
    )
