"""`meshwarden policy`: policy as code. One module for each subcommand, imported when called."""

from typing import Final

from cyclopts import App

app = App(
    name="policy",
    help="Policy as code: check, decide, explain, learn, tighten, diff, replay, compile.",
    help_epilogue="Example: meshwarden policy check access.yaml",
    help_format="plaintext",
    result_action="return_value",
)
ASK: Final = "--from payments --to ledger --method GET --path /v1/accounts/7"
SUBCOMMANDS: Final = {
    "check": ("policy_check:check", "access.yaml --json"),
    "decide": ("policy_decide:decide_command", f"access.yaml {ASK}"),
    "explain": ("policy_explain:explain", f"access.yaml {ASK} --patch"),
    "learn": ("policy_learn:learn", "calls.parquet -o access.yaml"),
    "unused": ("policy_unused:unused", "access.yaml --calls calls.parquet --days 30"),
    "diff": ("policy_diff:diff", "old.yaml new.yaml --markdown"),
    "replay": ("policy_replay:replay_command", "new.yaml --calls calls.parquet --policy old.yaml"),
    "compile": ("policy_compile:compile_command", "access.yaml --target envoy -o filters/"),
}
for _name, (_place, _example) in SUBCOMMANDS.items():
    app.command(
        f"meshwarden.cli.{_place}",
        name=_name,
        help_epilogue=f"Example: meshwarden policy {_name} {_example}",
    )
