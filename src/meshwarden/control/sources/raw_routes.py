"""Routes of foreign columns, some of which are raw paths: those are named, patterns stay.

A pattern is what has a `{`, or does not begin as a path or URL does (`shop.Cart/Get`).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.adapters.storage.calls import CallBatch
from meshwarden.behaviour.routes import route_by_form

Name = Callable[[Mapping[tuple[str, str], int]], list[str]]
"""Returns the route of each (service, raw path), which came so many times."""


def by_form(times: Mapping[tuple[str, str], int]) -> list[str]:
    """Return the routes as far as form alone tells them: the same in every run."""
    return [route_by_form(path) for _, path in times]


def name_routes(batch: CallBatch, name: Name) -> CallBatch:
    """Return `batch` with its raw routes named; what our own record holds are routes already."""
    if not batch.foreign or not batch.table.num_rows:
        return batch
    routes, services = (_encoded(batch.table, column) for column in ("route", "destination"))
    texts, parties = routes.dictionary.to_pylist(), services.dictionary.to_pylist()
    raw = np.array([*map(_is_raw, texts), False])
    places = np.asarray(pc.fill_null(routes.indices, -1)).astype(np.int64)
    rows = np.flatnonzero(raw[places])
    if not len(rows):
        return batch
    pairs = np.asarray(services.indices).astype(np.int64)[rows] * len(texts) + places[rows]
    different, found, times = np.unique(pairs, return_inverse=True, return_counts=True)
    calls = [(parties[pair // len(texts)], texts[pair % len(texts)]) for pair in different]
    named = name(dict(zip(calls, times.tolist(), strict=True)))
    places[rows] = len(texts) + found
    known = [*texts, *named, None]  # the last for a route that is not stated
    column = pa.array(known, pa.string()).take(pa.array(places % len(known)))
    at = batch.table.schema.get_field_index("route")
    field = batch.table.schema.field(at)
    return replace(batch, table=batch.table.set_column(at, field, column.dictionary_encode()))


def _is_raw(route: str) -> bool:
    return "{" not in route and (route.startswith("/") or "://" in route[:12])


def _encoded(table: pa.Table, name: str) -> pa.DictionaryArray:
    column = table.column(name).unify_dictionaries().combine_chunks()
    return column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
