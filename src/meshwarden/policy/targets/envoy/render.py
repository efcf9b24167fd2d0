"""Writes Envoy's messages as ProtoJSON values: what protobuf's `json_format` makes of them.

Many times faster for what a policy compiles to, as each packed message is rendered once, however
often it stands in a tree (a rule's action stands at all of its leaves), and each field is looked at
once. Equal parts of a result may be the same object.

Not for any message: numbers of 64 bits, octets and floating point are refused.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from google.protobuf import descriptor_pool
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

Value = Any
_Write = Callable[["_Renderer", Any], Value]

_PLAIN: Final = frozenset(
    {
        FieldDescriptor.CPPTYPE_STRING,
        FieldDescriptor.CPPTYPE_BOOL,
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_UINT32,
    }
)


def render_message(message: Message) -> dict[str, Value]:
    """Return `message` as a JSON object, with fields named as in the definition.

    Raises:
        TypeError: where it has a field of a type that is not known here.
    """
    return _Renderer().render(message)


class _Renderer:
    """One rendering; knows the packed messages that it met."""

    def __init__(self) -> None:
        self._met: dict[tuple[str, bytes], dict[str, Value]] = {}

    def render(self, message: Message) -> dict[str, Value]:
        found = {}
        for field, value in message.ListFields():
            name, write = _writer(field)
            found[name] = write(self, value)
        return found

    def unpack(self, packed: Packed) -> dict[str, Value]:
        key = packed.type_url, packed.value
        if key not in self._met:
            content = _class_of(packed.type_url).FromString(packed.value)
            self._met[key] = {"@type": packed.type_url} | self.render(content)
        return self._met[key]


@lru_cache(maxsize=4096)
def _class_of(type_url: str) -> type[Message]:
    name = type_url.rpartition("/")[2]
    return GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))


@lru_cache(maxsize=4096)
def _writer(field: FieldDescriptor) -> tuple[str, _Write]:
    """Return a field's name, and what turns its value into JSON."""
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        one = _writer_of_one(kind.fields_by_name["value"])
        return field.name, lambda made, value: {key: one(made, value[key]) for key in value}
    one = _writer_of_one(field)
    if field.is_repeated:
        return field.name, lambda made, value: [one(made, entry) for entry in value]
    return field.name, one


def _writer_of_one(field: FieldDescriptor) -> _Write:
    if field.message_type is not None:
        name = field.message_type.full_name
        if name == Packed.DESCRIPTOR.full_name:
            return _Renderer.unpack
        return _well_known if name.startswith("google.protobuf.") else _Renderer.render
    if field.enum_type is not None:
        names = {value.number: value.name for value in field.enum_type.values}
        return lambda _, value: names[value]
    if field.cpp_type in _PLAIN and field.type != FieldDescriptor.TYPE_BYTES:
        return lambda _, value: value
    raise TypeError(f"{field.full_name} has a type that is not written here")


def _well_known(_: _Renderer, value: Message) -> Value:
    return MessageToDict(value, preserving_proto_field_name=True)
