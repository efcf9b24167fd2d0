"""`meshwarden incident`: what the mesh found, what it does about it, and a person's word in it."""

from cyclopts import App

app = App(
    name="incident",
    help="Incidents: list, show, simulate, approve, contain, release, close; verify evidence.",
    help_epilogue="Example: meshwarden incident list --state /var/lib/meshwarden",
    help_format="plaintext",
    result_action="return_value",
)
for _name, _summary in {
    "list": "All incidents, and the guard rails.",
    "show": "One incident: timeline, steps, what its suspect reached.",
    "simulate": "What following a playbook would do now, without doing it.",
    "contain": "Follow a playbook because you say so.",
    "approve": "Approve a step that waits for people.",
    "release": "Let a suspect back in.",
    "close": "End an incident.",
    "automatic": "Act by oneself, or only observe.",
    "evidence": "Where the archive is; verify one.",
}.items():
    app.command(f"meshwarden.cli.incident_{_name}:app", name=_name, help=_summary)
