"""Zeek's `conn.log`: connections as a sensor beside the network saw them."""
