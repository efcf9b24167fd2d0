"""`meshwarden identity`: the identities of a running mesh. One module for each subcommand."""

from cyclopts import App

app = App(
    name="identity",
    help="Identities: who may have which, what is issued; revoke and rotate.",
    help_epilogue="Example: meshwarden identity list --state .meshwarden --watch",
    help_format="plaintext",
    result_action="return_value",
)
app.command("meshwarden.cli.identity_list:app", name="list", help="What is issued, and its end.")
app.command("meshwarden.cli.identity_show:app", name="show", help="All about one certificate.")
app.command("meshwarden.cli.identity_revoke:app", name="revoke", help="Take identities away.")
app.command("meshwarden.cli.identity_rotate:app", name="rotate", help="Replace what signs.")
app.command("meshwarden.cli.identity_bundle:app", name="bundle", help="What verifies them all.")
app.command("meshwarden.cli.identity_register:register", name="register")
app.command("meshwarden.cli.identity_register:unregister", name="unregister")
app.command("meshwarden.cli.identity_registrations:show_registrations", name="registrations")
