"""Filters are written as protobuf writes them, and read back as what they were."""

import pytest
from envoy.config.core.v3.base_pb2 import DataSource
from envoy.config.core.v3.protocol_pb2 import Http2ProtocolOptions
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBAC
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import UInt32Value
from tests.evaluators.cases import ClusterCases
from xds.core.v3.extension_pb2 import TypedExtensionConfig

from meshwarden.policy.targets.envoy import compile_filters, compile_http_filter
from meshwarden.policy.targets.envoy.render import render_message


def by_protobuf(message: Message) -> object:
    return MessageToDict(message, preserving_proto_field_name=True)


@pytest.mark.parametrize("seed", range(5))
def test_a_filter_is_written_as_protobuf_writes_it(seed: int) -> None:
    cases = ClusterCases(seed)
    for number in range(20):
        compiled = compile_http_filter(cases.policy(number), "callee", single_use_enforced=True)
        assert render_message(compiled) == by_protobuf(compiled)


def test_what_is_written_reads_back_as_the_same_filter() -> None:
    policy = ClusterCases(3).policy(1)
    written = compile_filters(policy, "callee")["callee.http.json"]
    read = ParseDict(written, TypedExtensionConfig())
    assert read.name == "envoy.filters.http.rbac"
    filter_read = RBAC()
    assert read.typed_config.Unpack(filter_read)
    assert filter_read == compile_http_filter(policy, "callee")


def test_wrapped_numbers_are_written_as_numbers() -> None:
    limited = Http2ProtocolOptions(max_concurrent_streams=UInt32Value(value=7))
    assert render_message(limited) == by_protobuf(limited)


def test_a_field_that_is_not_known_is_refused() -> None:
    with pytest.raises(TypeError, match="inline_bytes"):
        render_message(DataSource(inline_bytes=b"\x00"))
