"""Hubble flows into rows: `hubble observe -o jsonpb` and the exporter's files.

A flow is one packet or one message, not one call, so:

- HTTP: the response is the call; it carries status and latency, and its source is the server. A
  request stands for itself where policy dropped it.
- TCP: the SYN is the call. Other packets, and replies, are none.
- UDP, SCTP, ICMP: the first packet between two endpoints is; what follows within a minute is not.

The same packet is seen at several points, on both nodes: the first report of a connection stands.
Names come from Cilium's labels, which the agent assigns; `mtls` is true only where mutual
authentication (SPIRE) was part of the verdict.

Source: Cilium, `api/v1/flow/flow.proto` and `observer.proto` (ExportEvent, GetFlowsResponse).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from meshwarden.adapters.cilium.recent import RecentConnections
from meshwarden.adapters.sources.fields import (
    count_of,
    object_of,
    parse_object,
    text_of,
    time_of,
)
from meshwarden.adapters.sources.orient import Orienter
from meshwarden.adapters.sources.parties import (
    address_party,
    cilium_party,
    host_party,
    pod_owner,
    workload,
)
from meshwarden.adapters.sources.row import Context, Row, refuse

_DROPPED: Final = "DROPPED"
_POLICY: Final = frozenset({"POLICY_DENIED", "POLICY_DENY", "AUTH_REQUIRED"})
_L4: Final = {"TCP": "tcp", "UDP": "udp", "SCTP": "other", "ICMPv4": "icmp", "ICMPv6": "icmp"}
_MAX_LABELS: Final = 256


def looks_like_hubble(found: Mapping[str, Any]) -> bool:
    """Return whether an object is an envelope with a flow, a bare flow, or news about losses."""
    if isinstance(found.get("flow"), dict) or isinstance(found.get("lost_events"), dict):
        return True
    return "verdict" in found and ("IP" in found or "ip" in found) and "source" in found


class HubbleDecoder:
    """One stream of flows; implements `Decoder`."""

    def __init__(self, context: Context) -> None:
        self._domain = context.trust_domain
        self._recent = RecentConnections()
        self._orient = Orienter()

    def decode(self, line: bytes) -> Sequence[Row]:
        """Return the call that the flow of `line` begins or answers; InputError `source.line`."""
        found = parse_object(line)
        flow = found.get("flow", found)
        if not isinstance(flow, dict):
            refuse("flow is no object")
        if "verdict" not in flow:
            return ()  # losses, the state of nodes, agents' events
        http = object_of(object_of(flow, "l7"), "http")
        if http:
            return self._http(flow, http)
        return () if object_of(flow, "l7") else self._packet(flow)

    def finish(self) -> Sequence[Row]:
        """Return nothing: no flow waits for another."""
        return ()

    def _http(self, flow: Mapping[str, Any], http: Mapping[str, Any]) -> Sequence[Row]:
        l7 = object_of(flow, "l7")
        answer = l7.get("type") == "RESPONSE"
        if not answer and flow.get("verdict") != _DROPPED:
            return ()
        row = self._row(flow, swapped=answer)
        latency = count_of(l7.get("latency_ns"), "latency_ns")
        row["protocol"] = "http"
        row["method"] = text_of(http.get("method"), "method")
        row["path"] = text_of(http.get("url"), "url")
        row["status"] = count_of(http.get("code"), "status", 999) or None
        row["duration"] = latency
        row["time"] -= latency or 0
        return (row,)

    def _packet(self, flow: Mapping[str, Any]) -> Sequence[Row]:
        if flow.get("is_reply") is True:
            return ()
        flags = object_of(object_of(object_of(flow, "l4"), "TCP"), "flags")
        if flags and not (flags.get("SYN") and not flags.get("ACK")):
            return ()
        row = self._row(flow, swapped=False)
        if not flags and flow.get("is_reply") is None:
            row = self._orient.turned(row)
        return (row,) if self._recent.is_new(row) else ()

    def _row(self, flow: Mapping[str, Any], *, swapped: bool) -> Row:
        """Return what all flows say; `swapped`: the flow goes from server to client."""
        near, far = ("destination", "source") if swapped else ("source", "destination")
        l4 = object_of(flow, "l4")
        kind = next((name for name in _L4 if name in l4), "")
        ports = object_of(l4, kind)
        address = object_of(flow, "IP") or object_of(flow, "ip")
        denied, rule = _verdict(flow)
        row: Row = {
            "time": time_of(flow.get("time")),
            "source": self._party(flow, near, address),
            "destination": self._party(flow, far, address),
            "source_instance": _instance(flow, near, address),
            "destination_instance": _instance(flow, far, address),
            "source_port": count_of(ports.get(f"{near}_port"), "source_port", 65535),
            "destination_port": count_of(ports.get(f"{far}_port"), "destination_port", 65535),
            "protocol": _L4.get(kind, "other"),
            "denied": denied,
            "rule": rule,
            "mtls": True if flow.get("auth_type") == "SPIRE" else None,
            "reporter": "source" if flow.get("traffic_direction") == "EGRESS" else "destination",
            "id": text_of(flow.get("uuid"), "uuid"),
        }
        return row

    def _party(self, flow: Mapping[str, Any], side: str, addresses: Mapping[str, Any]) -> str:
        end = object_of(flow, side)
        labels = end.get("labels")
        address = text_of(addresses.get(side), "address")
        name = _first_text(flow.get(f"{side}_names"))
        if isinstance(labels, list):
            host = (name or address or "").lower()
            found = cilium_party(labels[:_MAX_LABELS], domain=self._domain, host=host)
            if found is not None:
                return found
        namespace = text_of(end.get("namespace"), "namespace")
        owner = _first_object(end.get("workloads")).get("name")
        if isinstance(owner, str) and owner:
            return workload(namespace, owner, self._domain)
        pod = text_of(end.get("pod_name"), "pod_name")
        if pod is not None:
            return pod_owner(namespace, pod, self._domain)
        return host_party(name, self._domain) if name else address_party(address)


def _instance(flow: Mapping[str, Any], side: str, addresses: Mapping[str, Any]) -> str | None:
    pod = text_of(object_of(flow, side).get("pod_name"), "pod_name")
    return pod or text_of(addresses.get(side), "address")


def _verdict(flow: Mapping[str, Any]) -> tuple[bool, str | None]:
    """Return whether policy refused, and by what; a packet lost for other reasons was not."""
    verdict = flow.get("verdict")
    if verdict == "AUDIT":
        return False, "audit"
    if verdict != _DROPPED:
        return False, _policy(flow, "allowed_by")
    reason = flow.get("drop_reason_desc")
    if object_of(flow, "l7") or (isinstance(reason, str) and reason in _POLICY):
        return True, _policy(flow, "denied_by") or "default-deny"
    return False, None


def _policy(flow: Mapping[str, Any], kind: str) -> str | None:
    for direction in ("ingress", "egress"):
        found = _first_object(flow.get(f"{direction}_{kind}"))
        name, namespace = found.get("name"), found.get("namespace")
        if isinstance(name, str) and name:
            place = f"{namespace}/" if isinstance(namespace, str) and namespace else ""
            return text_of(f"{place}{name}", "policy")
    return None


def _first_object(value: object) -> Mapping[str, Any]:
    first = value[0] if isinstance(value, list) and value else None
    return first if isinstance(first, dict) else {}


def _first_text(value: object) -> str | None:
    first = value[0] if isinstance(value, list) and value else None
    return text_of(first, "name") if isinstance(first, str) else None
