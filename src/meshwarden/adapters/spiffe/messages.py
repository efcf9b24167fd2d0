"""The messages of the Workload API, in a descriptor pool of their own.

They have no package, so their names are anybody's: a process that also holds a client of the
Workload API (or whatever else calls something `JWTSVID`) has descriptors of the same names in
protobuf's default pool, and the two would clash there. `workload.proto` is the same as text.
"""

from typing import Any, Final

from google.protobuf import struct_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_TYPES: Final = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}
_FIELDS: Final[dict[str, dict[str, tuple[int, str]]]] = {
    "X509SVIDRequest": {},
    "X509SVID": {
        "spiffe_id": (1, "string"),
        "x509_svid": (2, "bytes"),
        "x509_svid_key": (3, "bytes"),
        "bundle": (4, "bytes"),
        "hint": (5, "string"),
    },
    "X509SVIDResponse": {
        "svids": (1, "repeated X509SVID"),
        "crl": (2, "repeated bytes"),
        "federated_bundles": (3, "map"),
    },
    "X509BundlesRequest": {},
    "X509BundlesResponse": {"crl": (1, "repeated bytes"), "bundles": (2, "map")},
    "JWTSVIDRequest": {"audience": (1, "repeated string"), "spiffe_id": (2, "string")},
    "JWTSVID": {"spiffe_id": (1, "string"), "svid": (2, "string"), "hint": (3, "string")},
    "JWTSVIDResponse": {"svids": (1, "repeated JWTSVID")},
    "JWTBundlesRequest": {},
    "JWTBundlesResponse": {"bundles": (1, "map")},
    "ValidateJWTSVIDRequest": {"audience": (1, "string"), "svid": (2, "string")},
    "ValidateJWTSVIDResponse": {
        "spiffe_id": (1, "string"),
        "claims": (2, "google.protobuf.Struct"),
    },
}


def describe_file() -> FileDescriptorProto:
    """Return the description of `workload.proto` without its service."""
    file = FileDescriptorProto(
        name="meshwarden/workload.proto",
        syntax="proto3",
        dependency=[struct_pb2.DESCRIPTOR.name],
    )
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, field, number, kind)
    return file


def _add_field(message: DescriptorProto, name: str, number: int, kind: str) -> None:
    field = message.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
    if kind == "map":
        entry = message.nested_type.add(name=_camel(name) + "Entry")
        entry.options.map_entry = True
        _add_field(entry, "key", 1, "string")
        _add_field(entry, "value", 2, "bytes")
        kind = f"repeated {message.name}.{entry.name}"
    if kind.startswith("repeated "):
        field.label = FieldDescriptorProto.LABEL_REPEATED
        kind = kind.removeprefix("repeated ")
    if kind in _TYPES:
        field.type = _TYPES[kind]
    else:
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{kind}"


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _build() -> dict[str, Any]:
    pool = DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(describe_file().SerializeToString())
    return {name: GetMessageClass(pool.FindMessageTypeByName(name)) for name in _FIELDS}


_BUILT: Final = _build()
X509SVID: Final = _BUILT["X509SVID"]
X509SVIDResponse: Final = _BUILT["X509SVIDResponse"]
X509BundlesResponse: Final = _BUILT["X509BundlesResponse"]
JWTSVIDRequest: Final = _BUILT["JWTSVIDRequest"]
JWTSVIDResponse: Final = _BUILT["JWTSVIDResponse"]
JWTBundlesResponse: Final = _BUILT["JWTBundlesResponse"]
ValidateJWTSVIDRequest: Final = _BUILT["ValidateJWTSVIDRequest"]
ValidateJWTSVIDResponse: Final = _BUILT["ValidateJWTSVIDResponse"]
X509SVIDRequest: Final = _BUILT["X509SVIDRequest"]
X509BundlesRequest: Final = _BUILT["X509BundlesRequest"]
JWTBundlesRequest: Final = _BUILT["JWTBundlesRequest"]
