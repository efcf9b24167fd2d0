"""All I/O, one folder per product or standard; pure translation (`codec`) apart from calls
(`client`, `server`).
"""
