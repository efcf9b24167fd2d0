"""Recorded calls for policy: read and summed; a candidate tried in a real proxy."""

from meshwarden.control.traffic.reading import (
    Period,
    ReadTraffic,
    read_period,
    read_traffic,
)

__all__ = ["Period", "ReadTraffic", "read_period", "read_traffic"]
