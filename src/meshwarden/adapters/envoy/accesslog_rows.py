"""Usual requests of an inbound log, parsed as columns, into rows of calls: see `accesslog_batch`.

Where a column has few values, each is looked at once: parties, decisions, methods, certificates. A
path is named by the templates of the rule that decided (`Naming.templates`) where one matches it
as it is, and one by one where none does.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.adapters.envoy.accesslog import Kind
from meshwarden.adapters.envoy.accesslog_call import (
    Naming,
    certificate_digest,
    identity_of,
    key_of,
)
from meshwarden.adapters.envoy.accesslog_entry import Entry, deciding_rule
from meshwarden.adapters.envoy.accesslog_rules import callee_decision
from meshwarden.kernel import CALL_SCHEMA, UNKNOWN

_UNSET: Final = pa.array(["", "-"])
_TEXT: Final = pa.string()


def rows_of(
    fields: pa.RecordBatch,
    *,
    time: np.ndarray,
    duration: pa.Array,
    owners: Sequence[str],
    naming: Naming,
) -> tuple[pa.Table, list[str | None]]:
    """Return the rows, and what pairs each with the caller's report of the same call.

    Args:
        fields: columns by their names in the log.
        time: start, nanoseconds since the epoch (int64).
        duration: nanoseconds, null where it is not known.
        owners: SPIFFE ID of the callee of each row.
        naming: names of the mesh.
    """
    source = _meant(fields.column("peer"), identity_of)
    denied, rule = _decided(_some(fields, "details"), _some(fields, "rule"))
    columns = {
        "time": pa.array(time),
        "source": source.fill_null(UNKNOWN),
        "destination": pa.array(owners, _TEXT),
        "source_instance": _hosts(_some(fields, "remote")),
        "destination_instance": _hosts(_some(fields, "local")),
        "protocol": pa.repeat("http", len(owners)),
        "method": _some(fields, "method"),
        "route": _routes(fields.column("path"), rule, owners, naming),
        "status": fields.column("status"),
        "request_bytes": fields.column("rx").fill_null(0),
        "response_bytes": fields.column("tx").fill_null(0),
        "duration": duration,
        "denied": denied,
        "rule": rule,
        "mtls": source.is_valid(),
        "claimed": pc.if_else(source.is_valid(), pa.scalar(None, _TEXT), fields.column("peer")),
        "source_certificate": pc.if_else(
            source.is_valid(), _meant(fields.column("cert"), certificate_digest), None
        ),
        "transaction": _some(fields, "txn"),
        "reporter": pa.repeat("destination", len(owners)),
    }
    keys = [
        key_of("id", call, caller, owner)
        for call, caller, owner in zip(
            _some(fields, "call").to_pylist(), source.to_pylist(), owners, strict=True
        )
    ]
    return _table(columns, len(owners)), keys


def _table(columns: dict[str, pa.Array], length: int) -> pa.Table:
    arrays = []
    for field in CALL_SCHEMA:
        column = columns.get(field.name)
        if column is None:
            column = pa.nulls(length, field.type)
        elif pa.types.is_dictionary(field.type) and not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        arrays.append(column if column.type == field.type else column.cast(field.type))
    return pa.Table.from_arrays(arrays, schema=CALL_SCHEMA)


def _some(fields: pa.RecordBatch, name: str) -> pa.Array:
    """Return a column of texts, null where they say nothing."""
    column = fields.column(name)
    if column.null_count == len(column):
        return column
    return pc.if_else(pc.is_in(column, value_set=_UNSET), pa.scalar(None, _TEXT), column)


def _meant(column: pa.Array, meaning: Callable[[str], str | None]) -> pa.Array:
    """Return what each text means, looked at once for each different one."""
    encoded = column.dictionary_encode()
    found = pa.array([meaning(text) for text in encoded.dictionary.to_pylist()], _TEXT)
    return found.take(encoded.indices)


def _hosts(addresses: pa.Array) -> pa.Array:
    """Return addresses without their ports; null for Unix sockets and internal listeners."""
    parts = pc.split_pattern(addresses, ":", max_splits=1, reverse=True)
    ported = pc.equal(pc.list_value_length(parts), 2)
    hosts = pc.utf8_trim(pc.list_element(parts, 0), "[]")
    known = pc.and_(ported, pc.greater(pc.binary_length(hosts), 0))
    return pc.if_else(known, hosts, pa.scalar(None, _TEXT))


def _decided(details: pa.Array, rule: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return who was refused, and by which rule."""
    how, (by, rules) = _coded(details), _coded(rule)
    pairs, which = np.unique(how[0] * (len(rules) + 1) + by, return_inverse=True)
    found = [
        callee_decision(
            Entry(
                kind=Kind.INBOUND,
                time=0,
                details=_at(how[1], pair // (len(rules) + 1)),
                rule=deciding_rule(_at(rules, pair % (len(rules) + 1))),
            )
        )
        for pair in pairs.tolist()
    ]
    places = pa.array(which)
    denied = pa.array([denied for denied, _ in found], pa.bool_())
    return denied.take(places), pa.array([named for _, named in found], _TEXT).take(places)


def _coded(column: pa.Array) -> tuple[np.ndarray, list[str]]:
    """Return a number for each text, and the texts by number; null has the next number."""
    encoded = column.dictionary_encode()
    texts: list[str] = encoded.dictionary.to_pylist()
    codes: np.ndarray = encoded.indices.fill_null(len(texts)).to_numpy().astype(np.int64)
    return codes, texts


def _at(texts: Sequence[str], number: int) -> str | None:
    return texts[number] if number < len(texts) else None


def _routes(paths: pa.Array, rule: pa.Array, owners: Sequence[str], naming: Naming) -> pa.Array:
    """Return the route of each path, group by group of those that one rule decided."""
    codes, rules = _coded(rule)
    order = np.argsort(codes, kind="stable")
    edges = [0, *(np.flatnonzero(np.diff(codes[order])) + 1).tolist(), len(order)]
    routes: dict[str, int] = {}
    found = np.zeros(len(codes), np.int32)
    for first, last in pairwise(edges):
        rows = order[first:last]
        by = _at(rules, int(codes[rows[0]])) if len(rows) else None
        left = _by_template(paths, rows, naming.templates(by), routes, found)
        _one_by_one(paths, left, by, owners, naming, routes, found)
    return pa.DictionaryArray.from_arrays(pa.array(found), pa.array(list(routes), _TEXT))


def _by_template(
    paths: pa.Array,
    rows: np.ndarray,
    templates: Sequence[tuple[str, str]],
    routes: dict[str, int],
    found: np.ndarray,
) -> np.ndarray:
    """Put the first template that matches each path; return the rows that none matches."""
    for expression, template in templates:
        if not len(rows):
            break
        matched = pc.match_substring_regex(paths.take(pa.array(rows)), f"^(?:{expression})$")
        matches = matched.to_numpy(zero_copy_only=False)
        found[rows[matches]] = routes.setdefault(template, len(routes))
        rows = rows[~matches]
    return rows


def _one_by_one(
    paths: pa.Array,
    rows: np.ndarray,
    by: str | None,
    owners: Sequence[str],
    naming: Naming,
    routes: dict[str, int],
    found: np.ndarray,
) -> None:
    named: dict[tuple[str, str], int] = {}
    for row, path in zip(rows.tolist(), paths.take(pa.array(rows)).to_pylist(), strict=True):
        asked = owners[row], path
        if asked not in named:
            route = naming.route(owners[row], by, path)
            named[asked] = routes.setdefault(route, len(routes))
        found[row] = named[asked]
