"""What Istio's objects mean: written from its documentation and its translation to Envoy.

Sources: istio.io, Authorization Policy and RequestAuthentication references; istio/istio,
pilot/pkg/security/authz/model (generator, model); Envoy, uri_template_lib. In short:

1. A token that is there and does not verify is refused (401). 2. CUSTOM policies that match ask
their provider. 3. DENY policies that match refuse. 4. Where a workload has ALLOW policies, one of
their rules has to match. A rule with methods, paths or claims is no rule at all on a TCP port.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from meshwarden.kernel import SpiffeId
from meshwarden.policy import normalize_path

LITERAL = r"[a-zA-Z0-9._~%!$&'()+,;:@=-]"  # Envoy 1.40, uri_template_internal.cc
ISSUER = "https://tts.bank.example"


@dataclass(frozen=True, kw_only=True)
class Arriving:
    """A request or a connection at a proxy; `claims` are those of a verified token."""

    source: SpiffeId
    port: int
    method: str | None = None
    path: str = ""
    claims: Mapping[str, Any] | None = None

    @property
    def is_http(self) -> bool:
        return self.method is not None


class IstioProxy:
    """The proxy of one workload, and the objects that select it."""

    def __init__(
        self, objects: Iterable[Mapping[str, Any]], namespace: str, labels: Mapping[str, str],
        *, authorizer: bool = False,
    ) -> None:  # fmt: skip
        mine = [one for one in objects if one["metadata"]["namespace"] == namespace]
        self._authorizer = authorizer
        self._strict = any(
            one["kind"] == "PeerAuthentication" and one["spec"]["mtls"]["mode"] == "STRICT"
            for one in mine
        )
        self._filters = [one for one in mine if one["kind"] == "EnvoyFilter"]
        self._policies = [
            one["spec"]
            for one in mine
            if one["kind"] == "AuthorizationPolicy" and _selects(one["spec"], labels)
        ]

    def allows(self, asked: Arriving) -> bool:
        assert self._strict, "without mutual TLS a principal proves nothing"
        path = self._path(asked.path) if asked.is_http else None
        if asked.is_http and path is None:
            return False
        custom = [one for one in self._policies if one.get("action") == "CUSTOM"]
        if any(_matches(one, asked, path) for one in custom) and not self._authorizer:
            return False
        denying = [one for one in self._policies if one.get("action") == "DENY"]
        if any(_matches(one, asked, path) for one in denying):
            return False
        allowing = [one for one in self._policies if one.get("action", "ALLOW") == "ALLOW"]
        return not allowing or any(_matches(one, asked, path) for one in allowing)

    def _path(self, raw: str) -> str | None:
        """Return what Envoy makes of a path under the EnvoyFilter; None where it refuses it."""
        (found,) = self._filters
        manager, first = (one["patch"] for one in found["spec"]["configPatches"])
        settings = manager["value"]["typed_config"]
        assert settings["path_with_escaped_slashes_action"] == "REJECT_REQUEST"
        assert settings["normalize_path"] is settings["merge_slashes"] is True
        rules = first["value"]["typed_config"]["rules"]
        (unclean,) = rules["policies"].values()
        clean = unclean["permissions"][0]["not_rule"]["url_path"]["path"]["safe_regex"]["regex"]
        assert (rules["action"], first["operation"]) == ("DENY", "INSERT_FIRST")
        path = normalize_path(raw)
        return path if path is not None and re.fullmatch(clean, path) else None


def _selects(spec: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    wanted = spec.get("selector", {}).get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items())


def _matches(spec: Mapping[str, Any], asked: Arriving, path: str | None) -> bool:
    return any(_rule(rule, asked, path) for rule in spec.get("rules", ()))


def _rule(rule: Mapping[str, Any], asked: Arriving, path: str | None) -> bool:
    return (
        any(_source(one["source"], asked) for one in rule.get("from", ({"source": {}},)))
        and any(_operation(one["operation"], asked, path) for one in rule.get("to", ({"operation": {}},)))
        and all(_condition(one, asked) for one in rule.get("when", ()))
    )  # fmt: skip


def _source(source: Mapping[str, Any], asked: Arriving) -> bool:
    assert set(source) <= {"principals"}
    name = f"{asked.source.trust_domain}{asked.source.path}"
    return "principals" not in source or any(_text(one, name) for one in source["principals"])


def _operation(operation: Mapping[str, Any], asked: Arriving, path: str | None) -> bool:
    assert set(operation) <= {"methods", "paths", "ports"}
    if not asked.is_http and {"methods", "paths"} & set(operation):
        return False
    return (
        ("ports" not in operation or str(asked.port) in operation["ports"])
        and ("methods" not in operation or any(_text(m, asked.method or "") for m in operation["methods"]))
        and ("paths" not in operation or any(_path(one, path or "") for one in operation["paths"]))
    )  # fmt: skip


def _path(wanted: str, path: str) -> bool:
    if "{*}" not in wanted and "{**}" not in wanted:
        return _text(wanted, path)
    assert not re.search(r"\/{\w+\=\*[*]?\}|{\w*\}|\/\*[*]?|\*[*]?\/", wanted), "refused by Istio"
    parts = re.split(r"(\{\*\}|\{\*\*\})", wanted)
    written = {"{*}": f"{LITERAL}+", "{**}": f"(?:{LITERAL}|/)*"}
    return re.fullmatch("".join(written.get(one, re.escape(one)) for one in parts), path) is not None  # fmt: skip


def _condition(condition: Mapping[str, Any], asked: Arriving) -> bool:
    name = re.fullmatch(r"request\.auth\.claims\[(\w+)\]", condition["key"])
    assert name
    if not asked.is_http or asked.claims is None:
        return False
    value = ({"iss": ISSUER} | dict(asked.claims)).get(name[1])
    if name[1] == "scope" and isinstance(value, str):
        value = value.split(" ")  # spaceDelimitedClaims
    held = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
    return any(_text(wanted, one) for wanted in condition["values"] for one in held)


def _text(wanted: str, text: str) -> bool:
    if wanted == "*":
        return text != ""
    if wanted.startswith("*"):
        return text.endswith(wanted[1:])
    return text.startswith(wanted[:-1]) if wanted.endswith("*") else text == wanted
