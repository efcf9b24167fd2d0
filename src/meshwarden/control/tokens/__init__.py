"""The token service of a running mesh: keys and revocations, subjects, risk, the record."""
