"""The text access logs of Envoy and Istio, as they are unless somebody changes the format.

Envoy writes headers as they came, quotes included. So the line is read from both ends: what stands
before the user agent from the left, what stands after it from the right, and the user agent, which
a stranger chose, is whatever is left in between.

Source: Envoy, "Access logging", default format string; Istio, `mesh.accessLogFormat` default.
"""

import re
from typing import Any, Final

from meshwarden.adapters.sources.fields import decode_text
from meshwarden.adapters.sources.row import refuse

_START: Final = (
    r'\[(?P<time>[^\]]{1,64})\] "(?P<method>[^" ]*) (?P<path>[^" ]*) (?P<protocol>[^" ]*)"'
    r" (?P<status>\d+) (?P<flags>\S+)"
)
_SIZES: Final = r" (?P<received>\d+) (?P<sent>\d+) (?P<duration>\d+|-) (?:\S+)"
_HEADERS: Final = r' "[^"]*" ".*" "(?P<id>[^"]*)" "(?P<authority>[^"]*)" "(?P<upstream>[^"]*)"'
ENVOY: Final = re.compile(_START + _SIZES + _HEADERS)
ISTIO: Final = re.compile(
    _START
    + r' (?P<details>\S+) (?P<termination>\S+) "(?P<failure>[^"]*)"'
    + _SIZES
    + _HEADERS
    + r" (?P<cluster>\S+) (?P<upstream_local>\S+) (?P<local>\S+) (?P<remote>\S+)"
    + r" (?P<sni>\S+) (?P<route_name>\S+)"
)


def parse_text_fields(line: bytes, pattern: re.Pattern[str]) -> dict[str, Any]:
    """Return what `line` says, under canonical names; InputError `source.line`."""
    found = pattern.fullmatch(decode_text(line).rstrip("\r"))
    if found is None:
        refuse("not in the default text format")
    return found.groupdict()
