"""A service that fetches its identity with an independent client as soon as it starts.

Prints it, then waits until it is stopped.
"""

import signal
import sys

from spiffe import WorkloadApiClient

with WorkloadApiClient() as client:
    context = client.fetch_x509_context(timeout=40)
    ids = [str(svid.spiffe_id) for svid in context.x509_svids]
    sys.stdout.write(f"identity {ids}\n")
    sys.stdout.flush()
signal.sigwait({signal.SIGTERM})
