"""Learned arrays as bytes and back; hostile bytes are refused, nothing is ever executed.

Layout: `MWBASE01`, 4 octets length of a JSON header (little endian), the header, SHA-256 of the
body, the body compressed by zlib. The header lists settings and, in order, each array's name,
type and shape. Sizes are checked before anything is allocated.
"""

import hashlib
import json
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.kernel import InputError

MAGIC: Final = b"MWBASE01"  # another number where what is kept changes its meaning, not its layout
_MAX_HEADER: Final = 1 << 24
_MAX_BODY: Final = 1 << 31
_UNSOUND: Final = (
    ValueError, KeyError, TypeError, IndexError, OverflowError, SyntaxError, zlib.error,
    MemoryError, RecursionError,
)  # fmt: skip
"""What reading hostile bytes may end in; numpy parses some descriptions of types as Python."""
Arrays = dict[str, NDArray[Any]]


def pack(about: dict[str, Any], arrays: Arrays) -> bytes:
    """Return `about` (JSON values) and `arrays` as bytes."""
    listed = _listed(arrays)
    body = b"".join(np.ascontiguousarray(a).tobytes() for a in arrays.values())
    header = json.dumps({"about": about, "arrays": listed, "octets": len(body)}).encode()
    packed = zlib.compress(body, 1)
    digest = hashlib.sha256(header + packed).digest()
    return MAGIC + len(header).to_bytes(4, "little") + header + digest + packed


def unpack(raw: bytes) -> tuple[dict[str, Any], Arrays]:
    """Return what `pack` was given.

    Raises:
        InputError: `behaviour.baseline`, the bytes are no baseline, damaged, or too large.
    """
    try:
        return _unpack(raw)
    except _UNSOUND as error:
        raise InputError(
            "behaviour.baseline",
            f"not a baseline, or damaged: {' '.join(str(error).split())[:200]}",
            where="baseline",
            hint="make one with meshwarden behaviour learn",
        ) from error


def layout_of(about: dict[str, Any], arrays: Arrays) -> str:
    """Return a digest of the names in `about`, and of each array's name, type and shape."""
    listed = sorted(_listed(arrays), key=lambda each: str(each["name"]))
    return hashlib.sha256(json.dumps([sorted(about), listed]).encode()).hexdigest()[:32]


def _listed(arrays: Arrays) -> list[dict[str, Any]]:
    return [
        {"name": n, "type": np.lib.format.dtype_to_descr(a.dtype), "shape": a.shape}
        for n, a in arrays.items()
    ]


def _unpack(raw: bytes) -> tuple[dict[str, Any], Arrays]:
    if raw[:8] != MAGIC:
        raise ValueError("it does not begin as one")
    size = int.from_bytes(raw[8:12], "little")
    if size > _MAX_HEADER or len(raw) < 44 + size:
        raise ValueError("it ends too early")
    header_raw, digest, packed = raw[12 : 12 + size], raw[12 + size : 44 + size], raw[44 + size :]
    if hashlib.sha256(header_raw + packed).digest() != digest:
        raise ValueError("its checksum is wrong")
    header = json.loads(header_raw)
    octets = int(header["octets"])
    if not 0 <= octets <= _MAX_BODY:
        raise ValueError("it is too large")
    unpacker = zlib.decompressobj()
    body = unpacker.decompress(packed, octets + 1)
    if len(body) != octets:
        raise ValueError("its length is wrong")
    return dict(header["about"]), _arrays(header["arrays"], body)


def _arrays(listed: list[dict[str, Any]], body: bytes) -> Arrays:
    arrays: Arrays = {}
    at = 0
    for each in listed:
        kind = np.dtype(_descr(each["type"]))
        if kind.hasobject:
            raise ValueError("it holds objects")
        shape = tuple(int(n) for n in each["shape"])
        if any(n < 0 for n in shape):
            raise ValueError("a shape is negative")
        count = 1
        for n in shape:
            count *= n
        if at + count * kind.itemsize > len(body):
            raise ValueError("an array is cut short")
        arrays[str(each["name"])] = np.frombuffer(body, kind, count, at).reshape(shape).copy()
        at += count * kind.itemsize
    if at != len(body):
        raise ValueError("something is left over")
    return arrays


def _descr(raw: Any) -> Any:
    """Return a type description with the tuples that JSON turned into lists."""
    if isinstance(raw, str):
        return raw
    fields = []
    for each in raw:
        name, kind, *shape = each
        fields.append((str(name), _descr(kind), *(tuple(int(n) for n in s) for s in shape)))
    return fields
