"""The messages that a tree is built from; what stands in a tree often is made once."""

from functools import lru_cache
from typing import Final

from envoy.config.rbac.v3 import rbac_pb2 as rbac
from envoy.extensions.matching.common_inputs.network.v3.network_inputs_pb2 import (
    DynamicMetadataInput,
)
from envoy.extensions.matching.common_inputs.ssl.v3.ssl_inputs_pb2 import UriSanInput
from envoy.type.matcher.v3.http_inputs_pb2 import HttpRequestHeaderMatchInput
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message
from xds.core.v3.extension_pb2 import TypedExtensionConfig
from xds.type.matcher.v3.matcher_pb2 import Matcher
from xds.type.matcher.v3.regex_pb2 import RegexMatcher

TYPE_URL: Final = "type.googleapis.com/"
NO_RULE: Final = "none"  # what Envoy itself calls it where a matcher does not match


def extension(name: str, message: Message) -> TypedExtensionConfig:
    """Return `message` as an extension's configuration."""
    packed = Packed(
        type_url=TYPE_URL + message.DESCRIPTOR.full_name,
        value=message.SerializeToString(),
    )
    return TypedExtensionConfig(name=name, typed_config=packed)


@lru_cache(maxsize=1024)
def action(name: str, *, deny: bool = False) -> TypedExtensionConfig:
    """Return the action that allows or denies in the name of a rule; not to be changed."""
    effect = rbac.RBAC.DENY if deny else rbac.RBAC.ALLOW
    return extension("rule", rbac.Action(name=name, action=effect))


def metadata_input(namespace: str, *path: str) -> TypedExtensionConfig:
    """Return dynamic metadata as an input."""
    segments = [DynamicMetadataInput.PathSegment(key=key) for key in path]
    return extension("metadata", DynamicMetadataInput(filter=namespace, path=segments))


@lru_cache(maxsize=64)
def header_input(name: str) -> TypedExtensionConfig:
    """Return a request header as an input."""
    return extension("header", HttpRequestHeaderMatchInput(header_name=name))


def fill_path_matches(predicate: Matcher.MatcherList.Predicate, expression: str) -> None:
    """Let `predicate` hold where all of `:path` matches the regular expression."""
    predicate.single_predicate.input.CopyFrom(PATH)
    predicate.single_predicate.value_match.safe_regex.CopyFrom(
        RegexMatcher(regex=expression, google_re2=RegexMatcher.GoogleRE2())
    )


CALLER: Final = extension("caller", UriSanInput())
METHOD: Final = extension("method", HttpRequestHeaderMatchInput(header_name=":method"))
PATH: Final = extension("path", HttpRequestHeaderMatchInput(header_name=":path"))
