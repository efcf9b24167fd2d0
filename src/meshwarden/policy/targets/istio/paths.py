"""Path patterns as Istio writes them: literal, or a template of `{*}` and `{**}` (Istio 1.22 on).

`{*}` is one segment of `MATCHED` characters; `{**}` any number of them and of slashes, none too.
So `/a/**`, one or more segments, is `/a/{*}` or `/a/{*}/{**}`. The proxies refuse paths that are
not clean before they come here (`namespace`), so that no other segment is empty.

Source: Envoy, uri_template_internal.cc; Istio, pkg/config/security.
"""

from typing import Final

from meshwarden.policy.path import PathPattern

ANY: Final = "/*"
"""Any path: it starts with a slash. It also keeps a rule off ports that are no HTTP."""

MATCHED: Final = r"A-Za-z0-9._~%!$&'()+,;:@=-"
"""What a segment of a template may hold. A clean segment may also hold `*`, `[` and `]`."""

MAX_TEMPLATE: Final = 256
"""Characters of a template, by Envoy's validation of `path_template`."""


def istio_paths(pattern: PathPattern) -> list[str] | None:
    """Return what matches as `pattern` does; None where Envoy would refuse so long a template."""
    if pattern.is_literal:
        return [pattern.text]
    start = "".join("/{*}" if part is None else f"/{part}" for part in pattern.segments)
    found = [f"{start}/{{*}}", f"{start}/{{*}}/{{**}}"] if pattern.rest else [start]
    sent = found[-1].replace("{*}", "*").replace("{**}", "**")
    return found if len(sent) <= MAX_TEMPLATE else None
