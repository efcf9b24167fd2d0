"""The sample bank, its load, its attacks."""
