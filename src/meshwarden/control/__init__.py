"""Use-cases and loops: the one place where capabilities and adapters meet."""
