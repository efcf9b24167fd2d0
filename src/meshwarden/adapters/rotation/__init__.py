"""Secrets replaced where they are: in a file, in PostgreSQL, by a command that the user names.

Each implements `response.Rotation`. `place` writes files without following anybody's links, `scram`
lets a database know a password without ever being told it.
"""

from meshwarden.adapters.rotation.command import CommandRotation
from meshwarden.adapters.rotation.file import FileRotation
from meshwarden.adapters.rotation.postgres import Database, PostgresRotation

__all__ = ["CommandRotation", "Database", "FileRotation", "PostgresRotation"]
