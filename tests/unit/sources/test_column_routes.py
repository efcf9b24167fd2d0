"""Routes of CSV and Parquet: raw paths are named, patterns and our own record's routes stay."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from meshwarden.control.sources import SourceReport, open_source
from meshwarden.control.sources.columns import read_counted
from meshwarden.kernel import Call, calls_to_table

HEAD = "time,source,destination,route\n"
GIVEN = {
    "/x/47": "/x/{}",
    "/x/48?all=1": "/x/{}",
    "https://ledger/v1/accounts/DE02120300000000202051": "/v1/accounts/{}",
    "/users/{id}/cards/7": "/users/{id}/cards/7",
    "/x/{}": "/x/{}",
    "/health": "/health",
    "shop.Cart/Get7": "shop.Cart/Get7",
    "/api/*": "/api/*",
    "": None,
}


def _rows(folder: Path, routes: list[str]) -> Path:
    path = folder / "calls.csv"
    path.write_text(HEAD + "".join(f"{n + 1},a,b,{route}\n" for n, route in enumerate(routes)))
    return path


def _imported(path: Path) -> list[str | None]:
    return [route for batch in open_source([path]) for route in batch["route"].to_pylist()]


def _scored(path: Path) -> list[str | None]:
    batches = read_counted([path], SourceReport())
    return [route for batch in batches for route in batch.table["route"].to_pylist()]


def test_identifiers_are_replaced_and_patterns_stay(tmp_path: Path) -> None:
    path = _rows(tmp_path, list(GIVEN))
    assert _imported(path) == _scored(path) == list(GIVEN.values())


def test_use_tells_identifiers_in_an_import_and_form_alone_where_calls_are_scored(
    tmp_path: Path,
) -> None:
    names = [f"/users/{first}{last}" for first in "abcdefghijklm" for last in "nopqrstuvwxyz"]
    path = _rows(tmp_path, names)
    assert set(_imported(path)) == {"/users/{}"}
    assert _scored(path) == names


def test_parquet_of_others_is_named_and_our_own_is_not(tmp_path: Path) -> None:
    columns = {"time": [1], "source": ["a"], "destination": ["b"], "route": ["/x/47"]}
    pq.write_table(pa.table(columns), tmp_path / "foreign.parquet")
    call = Call(
        time=1, source="unknown", destination="unknown", protocol="http", route="/x/47",
        reporter="source",
    )  # fmt: skip
    pq.write_table(calls_to_table([call]), tmp_path / "own.parquet")
    for name, route in (("foreign.parquet", "/x/{}"), ("own.parquet", "/x/47")):
        assert _imported(tmp_path / name) == _scored(tmp_path / name) == [route]
