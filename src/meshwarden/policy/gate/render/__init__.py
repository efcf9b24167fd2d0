"""A report as text: for people, for CI systems, for machines."""

from collections.abc import Callable
from enum import StrEnum

from meshwarden.policy.gate.model import Report
from meshwarden.policy.gate.render.github import render_github
from meshwarden.policy.gate.render.junit import render_junit
from meshwarden.policy.gate.render.machine import render_json
from meshwarden.policy.gate.render.markdown import render_markdown
from meshwarden.policy.gate.render.people import render_text
from meshwarden.policy.gate.render.sarif import render_sarif


class Format(StrEnum):
    """Formats of a report."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    JUNIT = "junit"
    GITHUB = "github"
    MARKDOWN = "markdown"


RENDERERS: dict[Format, Callable[[Report], str]] = {
    Format.TEXT: render_text,
    Format.JSON: render_json,
    Format.SARIF: render_sarif,
    Format.JUNIT: render_junit,
    Format.GITHUB: render_github,
    Format.MARKDOWN: render_markdown,
}
"""Each returns text that ends with a newline, whatever the report holds."""
