"""The messages of OTLP traces that calls need, in a descriptor pool of their own.

The xDS wheel and the OpenTelemetry wheel both install `opentelemetry/proto`, of different years:
which one is there depends on the order of installation. These are the fields of OTLP 1.x by their
numbers; unknown ones are skipped on the wire, as protobuf does.

Source: OpenTelemetry, `opentelemetry/proto/trace/v1/trace.proto`, `common.proto`, `resource.proto`.
"""

from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_PACKAGE: Final = "meshwarden.otlp"
_TYPES: Final = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "fixed64": FieldDescriptorProto.TYPE_FIXED64,
}
_FIELDS: Final[dict[str, dict[str, tuple[int, str]]]] = {
    "AnyValue": {
        "string_value": (1, "oneof string"),
        "bool_value": (2, "oneof bool"),
        "int_value": (3, "oneof int64"),
    },
    "KeyValue": {"key": (1, "string"), "value": (2, "AnyValue")},
    "Resource": {"attributes": (1, "repeated KeyValue")},
    "Link": {"trace_id": (1, "bytes"), "span_id": (2, "bytes")},
    "Span": {
        "trace_id": (1, "bytes"),
        "span_id": (2, "bytes"),
        "parent_span_id": (4, "bytes"),
        "name": (5, "string"),
        "kind": (6, "int32"),  # an enumeration: the same on the wire
        "start_time_unix_nano": (7, "fixed64"),
        "end_time_unix_nano": (8, "fixed64"),
        "attributes": (9, "repeated KeyValue"),
        "links": (13, "repeated Link"),
    },
    "ScopeSpans": {"spans": (2, "repeated Span")},
    "ResourceSpans": {"resource": (1, "Resource"), "scope_spans": (2, "repeated ScopeSpans")},
    "ExportTraceServiceRequest": {"resource_spans": (1, "repeated ResourceSpans")},
    "ExportTraceServiceResponse": {},
}


def _describe() -> FileDescriptorProto:
    file = FileDescriptorProto(name="meshwarden/otlp.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            field = message.field.add(
                name=field_name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL
            )
            if kind.startswith("repeated "):
                field.label = FieldDescriptorProto.LABEL_REPEATED
            elif kind.startswith("oneof "):
                field.oneof_index = 0
            kind = kind.rpartition(" ")[2]  # noqa: PLW2901
            if kind in _TYPES:
                field.type = _TYPES[kind]
            else:
                field.type = FieldDescriptorProto.TYPE_MESSAGE
                field.type_name = f".{_PACKAGE}.{kind}"
        if any(kind.startswith("oneof ") for _, kind in fields.values()):
            message.oneof_decl.add(name="value")
    return file


def _build() -> dict[str, Any]:
    pool = DescriptorPool()
    pool.AddSerializedFile(_describe().SerializeToString())
    return {
        name: GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _FIELDS
    }


_BUILT: Final = _build()
AnyValue: Final = _BUILT["AnyValue"]
KeyValue: Final = _BUILT["KeyValue"]
Span: Final = _BUILT["Span"]
Link: Final = _BUILT["Link"]
ScopeSpans: Final = _BUILT["ScopeSpans"]
ResourceSpans: Final = _BUILT["ResourceSpans"]
ExportTraceServiceRequest: Final = _BUILT["ExportTraceServiceRequest"]
ExportTraceServiceResponse: Final = _BUILT["ExportTraceServiceResponse"]
