"""meshwarden: the internal network is as untrusted as the internet.

The map of the packages is ARCHITECTURE.md at the top of the repository.
"""
