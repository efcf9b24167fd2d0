"""Is this normal: the unsupervised model of calls. Not built yet."""
