"""The lines around a finding, with what must not be shown masked."""

import re
from collections.abc import Collection
from typing import Final

AROUND: Final = 1
MAX_WIDTH: Final = 160
_KEY = re.compile(r"""[\s{[,-]*["']?[\w./-]+["']?\s*[:=](?!//)["']?""")


def frame_of(
    lines: list[str], line: int, masked: Collection[int], column_of: dict[int, int]
) -> tuple[tuple[int, str], ...]:
    """Return numbered lines around `line` (from 1).

    Args:
        lines: of the file.
        line: the one in question.
        masked: lines that hold a secret, or a part of one.
        column_of: for masked lines, the column (from 1) at which key or value begin.
    """
    first, last = max(1, line - AROUND), min(len(lines), line + AROUND)
    return tuple(
        (number, mask(text, column_of.get(number, 1)) if number in masked else text[:MAX_WIDTH])
        for number in range(first, last + 1)
        for text in (lines[number - 1].rstrip("\r\n").replace("\t", "    "),)
    )


def mask(text: str, column: int) -> str:
    """Return `text` with what follows the key at `column` replaced by stars."""
    before, rest = text[: column - 1], text[column - 1 :]
    key = _KEY.match(rest)
    return f"{before}{key.group() if key else ''}***"[:MAX_WIDTH]
