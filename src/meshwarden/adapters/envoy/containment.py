"""What is cut off in spite of policy: revoked certificates, on connections that are already open.

The revocation list in the bundle (`tls`) refuses a revoked certificate in the next handshake. What
was open before is cut by this (each was tried on Envoy 1.40):

- Requests: the ECDS resource `containment` in front of the policy filter, one chain of exact maps,
  one map for each kind of thing that is contained (`_kinds`). A request is decided when it begins,
  so that a new filter is in force from the next request on, on every connection.
- Connections (`tcp`): ECDS does not reach a filter that a connection already has. There a network
  filter that judges whenever octets arrive (CONTINUOUS) reads the metadata of the endpoint that the
  connection leads to, and EDS replaces the metadata of an endpoint in its place. So one single
  connection is closed with the next octets that the caller sends, and no other.
- New connections of other trust domains, for whose certificates no list of ours speaks: an ECDS
  filter for each of their ports, which decides on the caller's first octet.
- A caller's pooled connections to a callee: every change of an endpoint drains the pools that lead
  to it (`close_connections_on_host_set_change`): idle connections are closed, busy ones after their
  response. The same metadata is what changes.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from envoy.config.core.v3.base_pb2 import Metadata
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.config.rbac.v3 import rbac_pb2 as rbac
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac
from envoy.extensions.filters.http.set_filter_state.v3 import set_filter_state_pb2 as http_state
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_rbac
from envoy.extensions.matching.common_inputs.network.v3.network_inputs_pb2 import FilterStateInput
from envoy.type.matcher.v3.http_inputs_pb2 import HttpRequestHeaderMatchInput
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from xds.core.v3.extension_pb2 import TypedExtensionConfig as MatcherExtension
from xds.type.matcher.v3.matcher_pb2 import Matcher

from meshwarden.adapters.envoy.tls import packed
from meshwarden.adapters.envoy.verification import HEADER
from meshwarden.policy.targets.envoy.token_headers import HEADERS

CONTAINMENT: Final = "containment"
REVOKED: Final = "containment:certificate"
"""The rule that the record of calls shows where a revoked certificate was cut off."""

_PASSED: Final = "none"  # overwritten by the policy filter where a rule allows
_PEER: Final = "meshwarden.certificate"
_METADATA: Final = "meshwarden.certificates"
TRANSACTION_STATE: Final = "meshwarden.transaction"
"""Filter state that names the transaction of a verified token, for the access log."""

SEVERAL: Final = "containment:several-tokens"
SESSION: Final = "containment:session"
SUBJECT: Final = "containment:subject"
TRANSACTION: Final = "containment:transaction"
_CLAIMS: Final = {SESSION: "sid", SUBJECT: "sub", TRANSACTION: "txn"}
"""Each kind of revoked token: the rule that the record shows, and the claim that names it."""

_Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Containment:
    """What is cut off.

    Attributes:
        certificates: SHA-256 of each revoked certificate that has not ended, and the SPIFFE ID that
            it names.
        withheld: services that have no certificate that counts: nobody is sent to them.
        sessions: hashes of sessions whose tokens are refused.
        subjects: those whose tokens are refused.
        transactions: those whose tokens are refused.
    """

    certificates: Mapping[str, str] = field(default_factory=dict)
    withheld: frozenset[str] = frozenset()
    sessions: frozenset[str] = frozenset()
    subjects: frozenset[str] = frozenset()
    transactions: frozenset[str] = frozenset()

    def of(self, *identities: object) -> dict[str, str]:
        """Return the certificates that name one of these identities."""
        wanted = {str(identity) for identity in identities}
        return {sha: named for sha, named in self.certificates.items() if named in wanted}


def containment_resource(containment: Containment) -> TypedExtensionConfig:
    """Return what the inbound HTTP listeners ask for as `CONTAINMENT`."""
    matcher = Matcher(on_no_match=_action(_PASSED, rbac.RBAC.ALLOW))
    for rule, source, entries in _kinds(containment):
        if not entries:
            continue
        one = Matcher(on_no_match=Matcher.OnMatch(matcher=matcher))
        one.matcher_tree.input.CopyFrom(_extension("input", source))
        for entry in sorted(entries):
            found = one.matcher_tree.exact_match_map.map[entry]
            found.CopyFrom(_action(rule, rbac.RBAC.DENY))
        matcher = one
    compiled = http_rbac.RBAC(matcher=_with_one_token(matcher))
    return TypedExtensionConfig(name=CONTAINMENT, typed_config=packed(compiled))


def _with_one_token(matcher: Matcher) -> Matcher:
    """Return `matcher` for requests with at most one token.

    Of two, the filter before verifies the first, and the service might believe the other.
    """
    several = Matcher.MatcherList.Predicate()
    header = HttpRequestHeaderMatchInput(header_name=HEADER)
    several.single_predicate.input.CopyFrom(_extension("input", header))
    several.single_predicate.value_match.contains = ","
    refusal = Matcher.MatcherList.FieldMatcher(
        predicate=several, on_match=_action(SEVERAL, rbac.RBAC.DENY)
    )
    return Matcher(
        matcher_list=Matcher.MatcherList(matchers=[refusal]),
        on_no_match=Matcher.OnMatch(matcher=matcher),
    )


def _kinds(containment: Containment) -> list[tuple[str, Message, Collection[str]]]:
    """Return each kind: the rule that it is recorded as, where a request shows it, its entries."""
    tokens = {
        SESSION: containment.sessions,
        SUBJECT: containment.subjects,
        TRANSACTION: containment.transactions,
    }
    return [
        *((rule, _handed(rule), found) for rule, found in tokens.items()),
        (REVOKED, FilterStateInput(key=_PEER), containment.certificates),
    ]


def _handed(rule: str) -> Message:
    """Return where the filter that verifies tokens hands on what names a kind of them."""
    found: Message = HttpRequestHeaderMatchInput(header_name=HEADERS[_CLAIMS[rule]])
    return found


def peer_filter() -> hcm.HttpFilter:
    """Return the filter that puts the caller's certificate where the containment filter looks.

    With it the transaction of a verified token where the access log finds it: the headers that the
    verification hands on are gone by then.
    """
    config = http_state.Config()
    shown = {
        _PEER: "%DOWNSTREAM_PEER_FINGERPRINT_256%",
        TRANSACTION_STATE: f"%REQ({HEADERS['txn']})%",
    }
    values = [
        {
            "object_key": key,
            "factory_key": "envoy.string",
            "format_string": {
                "text_format_source": {"inline_string": text},
                "omit_empty_values": True,
            },
            "skip_if_empty": True,
        }
        for key, text in shown.items()
    ]
    ParseDict({"on_request_headers": values}, config)
    return hcm.HttpFilter(name="envoy.filters.http.set_filter_state", typed_config=packed(config))


def inbound_filter() -> Filter:
    """Return the filter that closes an open connection whose caller's certificate is revoked."""
    return _connection_filter(_select("connection", "sha256_peer_certificate_digest"))


def outbound_filter() -> Filter:
    """Return the filter that closes an open connection whose callee's certificate is revoked."""
    return _connection_filter(_select("upstream", "sha256_peer_certificate_digest"))


def endpoint_metadata(certificates: Mapping[str, str]) -> Metadata:
    """Return the metadata of an endpoint: the revoked certificates that connections to it show."""
    metadata = Metadata()
    metadata.filter_metadata[_METADATA].update(dict.fromkeys(sorted(certificates), True))
    return metadata


def partners_containment(port: int) -> str:
    """Return the name of the filter in front of connections of other trust domains to `port`."""
    return f"{CONTAINMENT}/{port}"


def partners_resource(port: int, certificates: Collection[str]) -> TypedExtensionConfig:
    """Return that filter: it closes new connections that show one of `certificates` (SHA-256)."""
    listed = {"list_expr": {"elements": [_text(sha256) for sha256 in sorted(certificates)]}}
    digest = _select("connection", "sha256_peer_certificate_digest")
    rules = {"action": "DENY", "policies": {REVOKED: _where(_call("@in", digest, listed))}}
    config = network_rbac.RBAC()
    ParseDict({"stat_prefix": "containment.", "rules": rules}, config)
    return TypedExtensionConfig(name=partners_containment(port), typed_config=packed(config))


def _connection_filter(digest: _Json) -> Filter:
    metadata = _select("xds", "upstream_host_metadata")
    chosen = _call("_[_]", _select(metadata, "filter_metadata"), _text(_METADATA))
    config = network_rbac.RBAC()
    ParseDict(
        {
            "stat_prefix": "containment.",
            "enforcement_type": "CONTINUOUS",
            "rules": {
                "action": "DENY",
                "policies": {REVOKED: _where(_call("@in", digest, chosen))},
            },
        },
        config,
    )
    return Filter(name="envoy.filters.network.rbac", typed_config=packed(config))


def _where(condition: _Json) -> _Json:
    return {
        "permissions": [{"any": True}],
        "principals": [{"any": True}],
        "condition": condition,
    }


def _select(operand: str | _Json, name: str) -> _Json:
    inner = {"ident_expr": {"name": operand}} if isinstance(operand, str) else operand
    return {"select_expr": {"operand": inner, "field": name}}


def _call(function: str, *arguments: _Json) -> _Json:
    return {"call_expr": {"function": function, "args": list(arguments)}}


def _text(value: str) -> _Json:
    return {"const_expr": {"string_value": value}}


def _action(name: str, action: "rbac.RBAC.Action.ValueType") -> Matcher.OnMatch:
    return Matcher.OnMatch(action=_extension("rule", rbac.Action(name=name, action=action)))


def _extension(name: str, message: Message) -> MatcherExtension:
    return MatcherExtension(name=name, typed_config=packed(message))
