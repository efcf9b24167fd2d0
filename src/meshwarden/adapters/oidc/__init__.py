"""Identity providers: discovery and keys."""
