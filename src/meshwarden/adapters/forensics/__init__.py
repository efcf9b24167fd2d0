"""What a suspect's processes leave behind: stopped, looked at through /proc, kept in one archive.

`processes` finds, stops and ends them; `facts`, `files` and `memory` read them; `archive` keeps
what was read, the most valuable first, within a size. Linux, with the rights to look (root, or the
same user).
"""

from meshwarden.adapters.forensics.archive import ArchiveWriter, verify_archive
from meshwarden.adapters.forensics.facts import facts_of
from meshwarden.adapters.forensics.files import changed_files
from meshwarden.adapters.forensics.memory import dump_memory
from meshwarden.adapters.forensics.processes import ProcessSet, Selection

__all__ = [
    "ArchiveWriter",
    "ProcessSet",
    "Selection",
    "changed_files",
    "dump_memory",
    "facts_of",
    "verify_archive",
]
