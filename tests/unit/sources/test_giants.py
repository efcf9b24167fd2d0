"""A field of a billion octets: counted, not held."""

import tracemalloc
import zlib
from pathlib import Path

from meshwarden.control.sources import open_source

MEBI = 1 << 20
GOOD = (
    b'{"start_time":"2026-11-23T17:00:00.120Z","method":"GET","path":"/a","response_code":200,'
    b'"response_flags":"-","bytes_received":0,"authority":"ledger:8080"}\n'
)


def _bomb(path: Path) -> Path:
    packer = zlib.compressobj(1, wbits=31)
    with path.open("wb") as file:
        file.write(packer.compress(GOOD + GOOD[:-2] + b',"user_agent":"'))
        for _ in range(1_000_000_000 // MEBI + 1):
            file.write(packer.compress(b"x" * MEBI))
        file.write(packer.compress(b'"}\n' + GOOD) + packer.flush())
    return path


def test_a_field_of_a_billion_octets_costs_no_memory_and_the_rest_is_read(tmp_path: Path) -> None:
    source = open_source([_bomb(tmp_path / "a.log.gz")])
    tracemalloc.start()
    try:
        calls = sum(batch.num_rows for batch in source)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (calls, dict(source.report.set_aside)) == (2, {"longer than 65536 bytes": 1})
    assert peak < 64 * MEBI
