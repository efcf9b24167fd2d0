"""`meshwarden policy`: policy as code. One module for each subcommand."""

from cyclopts import App

app = App(
    name="policy",
    help="Policy as code: check, decide, explain, learn, tighten, diff, replay, compile.",
    help_epilogue="Example: meshwarden policy check access.yaml",
    help_format="plaintext",
    result_action="return_value",
)
app.command("meshwarden.cli.policy_check:check", name="check")
app.command("meshwarden.cli.policy_decide:decide_command", name="decide")
app.command("meshwarden.cli.policy_explain:explain", name="explain")
app.command("meshwarden.cli.policy_diff:diff", name="diff")
app.command("meshwarden.cli.policy_compile:compile_command", name="compile")
