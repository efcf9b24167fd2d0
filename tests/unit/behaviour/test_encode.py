"""Names that come again in another batch are not read again, and mean the same."""

import numpy as np
import pyarrow as pa
from tests.behaviour_world import table, traffic

from meshwarden.behaviour.encode import KnownNames, encode
from meshwarden.behaviour.names import Names


def _renamed(calls: pa.Table, old: str, new: str) -> pa.Table:
    """Return `calls` with another dictionary of sources, of the same length."""
    at = calls.schema.get_field_index("source")
    column = calls.column(at).combine_chunks()
    column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    names = [name.replace(old, new) for name in column.dictionary.to_pylist()]
    renamed = pa.DictionaryArray.from_arrays(column.indices, pa.array(names, pa.string()))
    return calls.set_column(at, calls.schema.field(at), renamed)


def test_keys_are_those_of_the_names_whatever_came_before() -> None:
    calls, known = table(traffic(20, seed=1)), KnownNames()
    others = _renamed(calls, "spiffe://", "spiffe://other.")
    for batch in (calls, calls.slice(5), others, others.slice(3, 9), calls):
        found, expected = encode(batch, known), encode(batch)
        for name in ("source", "destination", "service", "instance", "release"):
            assert np.array_equal(getattr(found, name), getattr(expected, name))
    assert not (encode(calls).source == encode(others).source).any()


def test_a_column_of_nothing_and_one_without_rows_have_no_keys() -> None:
    calls = table(traffic(20, seed=1))
    at = calls.schema.get_field_index("release")
    nothing = pa.nulls(calls.num_rows, calls.schema.field(at).type)
    assert not encode(calls.set_column(at, calls.schema.field(at), nothing)).release.any()
    assert len(encode(calls.slice(0, 0), KnownNames())) == 0


def test_names_are_learned_again_after_others_were_loaded() -> None:
    calls, names = table(traffic(20, seed=1)), Names(100)
    names.learn(calls)
    learned = names.save()
    names.load({})
    names.learn(calls)
    assert names.save() == learned
    assert learned
