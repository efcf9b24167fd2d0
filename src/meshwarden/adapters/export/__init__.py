"""Where findings go: a file of JSON lines, a webhook, a syslog receiver.

Each is an `Outlet`: it takes one finding, and has delivered it when it returns, as far as its
protocol can tell. `cursor` reads the stored findings from where an outlet stands.
"""

from meshwarden.adapters.export.file import JsonLinesFile
from meshwarden.adapters.export.outlet import Outlet
from meshwarden.adapters.export.syslog import Syslog, parse_receiver
from meshwarden.adapters.export.webhook import Webhook

__all__ = ["JsonLinesFile", "Outlet", "Syslog", "Webhook", "parse_receiver"]
