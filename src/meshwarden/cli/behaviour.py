"""`meshwarden behaviour`: what is normal between services, and what is not."""

from cyclopts import App

from meshwarden.cli.behaviour_watch import watch

app = App(
    name="behaviour",
    help="What is normal between services, and what is not.",
    help_epilogue="Example: meshwarden behaviour watch access.log",
    help_format="plaintext",
    result_action="return_value",
)
app.command(watch, help_epilogue="Example: meshwarden behaviour watch --state .meshwarden --json")
