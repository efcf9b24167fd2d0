"""All I/O, one folder per product or standard: pure translation apart from calls."""
