"""What could happen: attack paths and the cheapest cut. Not built yet."""
