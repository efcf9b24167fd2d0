"""Can you prove it: evidence. Not built yet."""
