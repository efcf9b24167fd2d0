"""`meshwarden identity`: who may have which identity.

One module a subcommand; each has a function that is mounted here.
"""

from cyclopts import App

app = App(
    name="identity",
    help="Identities of workloads: who may have which.",
    help_epilogue=(
        "Example: meshwarden identity register spiffe://bank.example/ns/core/sa/batch --uid 1001"
    ),
    help_format="plaintext",
    result_action="return_value",
)
app.command("meshwarden.cli.identity_register:register", name="register")
app.command("meshwarden.cli.identity_register:unregister", name="unregister")
app.command("meshwarden.cli.identity_registrations:show_registrations", name="list")
