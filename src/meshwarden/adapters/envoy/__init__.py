"""Envoy: its configuration over xDS, its process, its access log."""
