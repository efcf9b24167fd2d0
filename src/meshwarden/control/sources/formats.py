"""The formats that can be read line by line, and how each is told by its first lines."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshwarden.adapters.cilium.codec import HubbleDecoder, looks_like_hubble
from meshwarden.adapters.envoy.accesslog import Kind
from meshwarden.adapters.envoy.foreign.decoders import envoy_json, envoy_text
from meshwarden.adapters.envoy.foreign.json_codec import looks_like_envoy
from meshwarden.adapters.envoy.foreign.text_codec import ENVOY, ISTIO
from meshwarden.adapters.envoy.own_codec import SidecarDecoder
from meshwarden.adapters.istio.codec import istio_json, istio_text
from meshwarden.adapters.linkerd.codec import (
    APACHE,
    linkerd_json,
    linkerd_text,
    looks_like_linkerd,
)
from meshwarden.adapters.opentelemetry.codec import OtlpDecoder
from meshwarden.adapters.opentelemetry.json_codec import looks_like_otlp
from meshwarden.adapters.sources.row import (
    MAX_LINE_BYTES,
    Context,
    Decoder,
    JoiningDecoder,
)
from meshwarden.adapters.zeek.codec import ZeekDecoder, is_header, looks_like_zeek


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format.

    Attributes:
        title: for people.
        decoder: builds the decoder of one log.
        is_json: whether `claims` is asked about an object, else about text.
        claims: whether a line is of this format; formats are asked in their order.
        max_line_bytes: longer lines are set aside.
        joining: builds the decoder where what one log leaves open another may complete.
    """

    title: str
    decoder: Callable[[Context], Decoder]
    is_json: bool
    claims: Callable[[Any], bool]
    max_line_bytes: int = MAX_LINE_BYTES
    joining: Callable[[Context], JoiningDecoder] | None = None


def _istio(found: Mapping[str, Any]) -> bool:
    clusters = (found.get("upstream_cluster"), found.get("upstream_cluster_raw"))
    told = any(isinstance(name, str) and name.startswith(_ISTIO_CLUSTERS) for name in clusters)
    return told and looks_like_envoy(dict(found))


def _ours(found: Mapping[str, Any]) -> bool:
    kind = found.get("kind")
    return isinstance(kind, str) and kind in set(Kind) and "start" in found


_ISTIO_CLUSTERS: Final = (
    "inbound|", "outbound|", "PassthroughCluster", "BlackHoleCluster", "InboundPassthroughCluster",
)  # fmt: skip

LINE_FORMATS: Final[Mapping[str, Format]] = {
    "istio-json": Format(
        title="Istio access log, JSON", decoder=istio_json, is_json=True, claims=_istio
    ),
    "istio-text": Format(
        title="Istio access log, default text",
        decoder=istio_text,
        is_json=False,
        claims=lambda line: ISTIO.fullmatch(line) is not None,
    ),
    "envoy-text": Format(
        title="Envoy access log, default text",
        decoder=envoy_text,
        is_json=False,
        claims=lambda line: ENVOY.fullmatch(line) is not None,
    ),
    "meshwarden": Format(
        title="Access log of our own sidecars",
        decoder=SidecarDecoder,
        is_json=True,
        claims=_ours,
        joining=SidecarDecoder,
    ),
    "linkerd-json": Format(
        title="Linkerd access log, JSON",
        decoder=linkerd_json,
        is_json=True,
        claims=looks_like_linkerd,
    ),
    "linkerd-text": Format(
        title="Linkerd access log, Apache",
        decoder=linkerd_text,
        is_json=False,
        claims=lambda line: APACHE.fullmatch(line) is not None,
    ),
    "hubble": Format(
        title="Cilium Hubble flows, JSON lines",
        decoder=HubbleDecoder,
        is_json=True,
        claims=looks_like_hubble,
    ),
    "otlp": Format(
        title="OpenTelemetry spans, OTLP JSON",
        decoder=OtlpDecoder,
        is_json=True,
        claims=looks_like_otlp,
        max_line_bytes=16 * 1024**2,
        joining=OtlpDecoder,
    ),
    "zeek": Format(
        title="Zeek conn.log, TSV", decoder=ZeekDecoder, is_json=False, claims=is_header
    ),
    "zeek-json": Format(
        title="Zeek conn.log, JSON", decoder=ZeekDecoder, is_json=True, claims=looks_like_zeek
    ),
    "envoy-json": Format(
        title="Envoy access log, JSON",
        decoder=envoy_json,
        is_json=True,
        claims=looks_like_envoy,
    ),
}
COLUMN_FORMATS: Final = {
    "csv": "CSV with the columns of Call",
    "parquet": "Parquet with the columns of Call",
}
FORMATS: Final[Mapping[str, str]] = {
    **{name: format_.title for name, format_ in LINE_FORMATS.items()},
    **COLUMN_FORMATS,
}
