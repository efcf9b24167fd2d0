"""What now: containment as a reversible transaction. Not built yet."""
