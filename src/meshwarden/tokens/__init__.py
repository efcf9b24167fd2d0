"""On whose behalf: transaction tokens. Not built yet."""
