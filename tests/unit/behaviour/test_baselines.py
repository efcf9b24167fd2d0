"""Baselines from anyone: what is none is refused by an InputError, whatever its values would do."""

import hashlib
import json
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.behaviour_world import DAY, START, learned, name

from meshwarden.behaviour import Model, Settings, Verdict
from meshwarden.behaviour.archive import MAGIC, pack, unpack
from meshwarden.kernel import ConfigError, InputError

VERDICT = {
    "source": name("s5"), "destination": None, "channel": None, "until": START + DAY,
    "reason": "a migration", "by": "ana",
}  # fmt: skip


@cache
def sound() -> bytes:
    return learned(2).save()


def _about(**changed: object) -> bytes:
    about, arrays = unpack(sound())
    return pack(about | changed, arrays)


def _settings(**changed: object) -> bytes:
    return _about(settings=unpack(sound())[0]["settings"] | changed)


def test_what_the_refused_ones_are_made_of_is_sound() -> None:
    model = Model.load(_about(verdicts=[VERDICT]))
    assert model.verdicts == [Verdict(**VERDICT)]  # type: ignore[arg-type]
    assert model.verdicts[0].said is None  # as in baselines from before it was kept
    assert model.calls > 0


def _sampled(raw: bytes, where: str, number: int) -> bytes:
    about, arrays = unpack(raw)
    arrays["ground/known"][where][0, 1] = number
    return pack(about, arrays)


@pytest.mark.parametrize("spoil", [
    lambda _: b"",
    lambda _: b"\x80\x04pickle",
    lambda raw: raw[:-5],
    lambda raw: raw[:60] + b"\x00" + raw[61:],
    lambda _: pack({}, {}),
    lambda raw: pack(
        unpack(raw)[0], unpack(raw)[1] | {"alarms/open0": np.full(4096, 2**30, np.int32)}
    ),
    *(
        lambda raw, where=where, number=number: _sampled(raw, where, number)
        for where in ("callees", "callers") for number in (-1, 2**30)
    ),
    *(lambda raw, table=table: _one_number_everywhere(raw, table) for table in
      ("nodes", "edges", "offers", "links")),
    lambda raw: pack(
        unpack(raw)[0], unpack(raw)[1] | {"ground/callers": np.full(1, 2**40)}
    ),
])  # fmt: skip
def test_hostile_baselines_are_refused(spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(InputError):
        Model.load(spoil(sound()))


def _one_number_everywhere(raw: bytes, table: str) -> bytes:
    """Return a baseline whose filled places all hold one number: others would be sought for ever."""
    about, arrays = unpack(raw)
    index = arrays[f"ground/{table}/index"]
    index[index > 0] = 1
    return pack(about, arrays)


@pytest.mark.parametrize(("setting", "value"), [
    ("node_bits", 99), ("node_bits", 4.5), ("node_bits", 10.0), ("node_bits", True),
    ("edge_bits", "12"), ("link_bits", None), ("link_bits", 1e300), ("node_bits", 10**400),
    ("warm_up_minutes", "x"), ("warm_up_minutes", 1e300), ("warm_up_minutes", float("nan")),
    ("warm_up_minutes", -1), ("warm_up_calls", 2**70), ("warm_up_calls", 1.5),
    ("false_alarms_per_day", float("inf")), ("false_alarms_per_day", [1]),
    ("false_alarms_per_day", 0), ("slack", {}), ("repeat_cost", -1), ("another", 1),
])  # fmt: skip
def test_settings_of_no_use_are_refused(setting: str, value: object) -> None:
    with pytest.raises(InputError):
        Model.load(_settings(**{setting: value}))


@pytest.mark.parametrize("about", [
    {"names": {"zz": "a"}},
    {"names": {"-00000000000000f": "a"}},
    {"names": {"f" * 100: "a"}},
    {"names": {"f" * 16: 1}},
    {"names": ["a"]},
    {"names": None},
    {"suppressed": float("inf")},
    {"suppressed": "x"},
    {"settings": None},
    {"settings": [1]},
    {"verdicts": None},
    {"verdicts": [1]},
    {"verdicts": [{}]},
    *({"verdicts": [VERDICT | change]} for change in (
        {"until": "x"}, {"until": 1.5}, {"until": -1}, {"until": 2**63}, {"until": True},
        {"said": "x"}, {"said": 1.5}, {"said": -1}, {"said": 2**63}, {"said": True},
        {"source": 1}, {"source": ""}, {"source": "x" * 2049}, {"destination": 1},
        {"channel": ["new edge"]}, {"reason": 1}, {"reason": ""}, {"by": ["ana"]}, {"more": 1},
    )),
])  # fmt: skip
def test_what_a_baseline_says_about_itself_is_checked(about: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Model.load(_about(**about))


def _sealed(header: bytes) -> bytes:
    """Return a baseline with a header of anybody's making, and the checksum that it has to have."""
    packed = zlib.compress(b"\0" * 8)
    digest = hashlib.sha256(header + packed).digest()
    return MAGIC + len(header).to_bytes(4, "little") + header + digest + packed


def _listing(kind: object, shape: object = (8,)) -> bytes:
    array = {"name": "times", "type": kind, "shape": shape}
    return json.dumps({"about": {}, "arrays": [array], "octets": 8}).encode()


KINDS: Final[tuple[object, ...]] = (
    "O", "V0", "f4,(", "(2,3)f4", "(1,__import__('os'))f4", "no such", 5, None, {}, [], [["a"]],
    [["a", "O"]], [["a", "f4", [10**9, 10**9]]], [["a", "f4"], ["a", "f4"]],
)  # fmt: skip


@pytest.mark.parametrize("header", [
    b"", b"null", b"[]", b"7", b"\xff", b"[" * 100_000,
    b'{"about": {}, "arrays": [], "octets": Infinity}',
    b'{"about": null, "arrays": [], "octets": 8}',
    b'{"about": {}, "arrays": {"a": 1}, "octets": 8}',
    *(_listing(kind) for kind in KINDS),
    *(_listing("i1", shape) for shape in (5, "8", None, [1e300], [2**62, 4], [-8], [[8]])),
])  # fmt: skip
def test_headers_of_anybodys_making_are_refused(header: bytes) -> None:
    with pytest.raises(InputError):
        Model.load(_sealed(header))


def test_sizes_beyond_this_machine_are_refused() -> None:
    with pytest.raises(InputError):
        Model.load(_settings(node_bits=26, edge_bits=26, link_bits=26))


def test_a_baseline_of_another_layout_is_refused_and_says_so() -> None:
    for layout in (None, "0" * 32, 7):
        with pytest.raises(InputError, match="another version wrote it"):
            Model.load(_about(layout=layout))


@pytest.mark.parametrize("changed", [
    {"more": np.zeros(1)}, {"times": np.zeros(4, np.float64)}, {"times": np.zeros(5, np.int64)},
])  # fmt: skip
def test_the_layout_changes_with_what_is_kept(
    changed: dict[str, NDArray[Any]],
) -> None:
    class Other(Model):
        def _arrays(self) -> dict[str, NDArray[Any]]:
            return super()._arrays() | changed

    assert Other._layout() != Model._layout()


def test_a_budget_that_is_none_is_no_damage_of_the_baseline() -> None:
    with pytest.raises(ConfigError, match="false_alarms_per_day"):
        Model.load(sound(), false_alarms_per_day=-1)
    with pytest.raises(ConfigError, match="false_alarms_per_day"):
        Settings(false_alarms_per_day=float("nan"))
