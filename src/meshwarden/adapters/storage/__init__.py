"""Files that keep what happened: recorded calls as Parquet, findings as JSON lines, logs read."""
