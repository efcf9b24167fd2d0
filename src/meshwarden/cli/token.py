"""`meshwarden token`: transaction tokens. One module for each subcommand."""

from cyclopts import App

app = App(
    name="token",
    help="Transaction tokens: explain one, revoke, look at the chain.",
    help_epilogue="Example: meshwarden token inspect - < token.txt",
    help_format="plaintext",
    result_action="return_value",
)
app.command("meshwarden.cli.token_inspect:app", name="inspect", help="What a token says.")
app.command("meshwarden.cli.token_verify:app", name="verify", help="Whether it holds, or why not.")
app.command("meshwarden.cli.token_revoke:app", name="revoke", help="End a session at every hop.")
app.command("meshwarden.cli.token_chain:app", name="chain", help="Who asked for its tokens.")
app.command("meshwarden.cli.token_keys:app", name="keys", help="Signing keys; the next, or back.")
app.command("meshwarden.cli.token_erase:app", name="erase", help="Forget a subject's history.")
