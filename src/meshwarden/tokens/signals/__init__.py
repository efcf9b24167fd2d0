"""Shared Signals: security event tokens in and out (SSF 1.0, CAEP 1.0, RFC 8417, RFC 8935)."""
