"""Seeded policies, requests and connections for the agreement test, nasty ones in plenty.

A request starts from a path that some rule of its policy allows, more often than not, and is then
bent: so that both answers are frequent, and close to each other.
"""

from collections.abc import Callable

import numpy as np
from tests.e2e.policy_tokens import Token, TokenService

from meshwarden.adapters.yaml import parse_document
from meshwarden.kernel import SpiffeId
from meshwarden.policy import AccessPolicy, Connection, HttpRequest, Rule, parse_policy

CALLEE = SpiffeId.parse("spiffe://bank.example/callee")
PROBE = SpiffeId.parse("spiffe://bank.example/probe")
CALLERS = [
    SpiffeId.parse(text)
    for text in (
        "spiffe://bank.example/ns/core/sa/payments",
        "spiffe://bank.example/ns/core/sa/statements",
        "spiffe://bank.example/ns/core/sa/pay",
        "spiffe://partner.example/payments",
        "spiffe://bank.example/nobody",
    )
]
PORTS = (5432, 6379)
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
ODD_METHODS = ("BREW", "GETT", "PROPFIND", "M-SEARCH", "get", "CONNECT", "TRACE", "GET", "POST")
TOKENS = (
    "{}", "{scopes: [read]}", "{scopes: [read, write]}", "{acr: mfa}", "{bound: true}",
    "{scopes: [read], acr: otp, bound: true}", "{scopes: [write], once: true}",
)  # fmt: skip
KINDS = (
    "right", "right", "right", "right", "right", "media type", "other type", "no type", "algorithm",
    "expired", "audience", "signature",
)  # fmt: skip
_SEGMENTS = (
    "v1", "v2", "accounts", "account", "a", "b.c", "x~y", "..x", "...", "e;v=1", "c:cancel", "@me",
    "bank.Ledger", "Post", "(1)", "A",
)  # fmt: skip


class Cases:
    """A reproducible source of cases."""

    def __init__(self, seed: int, tokens: TokenService) -> None:
        self._chance = np.random.default_rng(seed)
        self._tokens = tokens

    def policy(self, number: int) -> AccessPolicy:
        """Return a policy for `callee`; its first rule lets the probe see that it is in force."""
        lines = [
            "apiVersion: meshwarden.dev/v1",
            "trust_domain: bank.example",
            "services:",
            "  pay: {identity: spiffe://bank.example/ns/core/sa/pay}",
            "  callee:",
            f"    identity: {CALLEE}",
            "    accepts:",
            f"      - {{from: [{PROBE}], methods: [GET], paths: [/version/{number}]}}",
        ]
        rules = {self._rule() for _ in range(self._number(1, 9))}
        lines += [f"      - {rule}" for rule in sorted(rules)]
        lines += [f"      - {{from: [{self._some(CALLERS[:4])}], tcp: {port}}}" for port in PORTS]
        return parse_policy(parse_document("\n".join(lines).encode(), name=f"policy {number}"))

    def _rule(self) -> str:
        parts = [f"from: [{self._some(CALLERS[:4])}]"]
        if self._chance.random() < 0.8:
            parts.append(f"methods: [{self._some(METHODS[:4])}]")
        if self._chance.random() < 0.9:
            patterns = {self._pattern() for _ in range(self._number(1, 5))}
            parts.append(f"paths: [{', '.join(self._distinct(patterns))}]")
        if self._chance.random() < 0.3:
            parts.append(f"token: {self._one(TOKENS)}")
        return "{" + ", ".join(parts) + "}"

    def _pattern(self) -> str:
        roll = self._chance.random()
        if roll < 0.05:
            return self._one(["/", "/**", "/{id}", "/{id}/**"])
        segments = [
            "{id}" if self._chance.random() < 0.25 else self._one(_SEGMENTS)
            for _ in range(self._number(1, 5))
        ]
        return "/" + "/".join(segments) + self._one(["", "", "", "/**", "/"])

    @staticmethod
    def _distinct(patterns: set[str]) -> list[str]:
        return [f'"{pattern}"' for pattern in sorted(patterns)]

    def request(self, policy: AccessPolicy) -> tuple[HttpRequest, Token | None]:
        """Return a request to `callee`, and the token that comes with it."""
        rules = [rule for rule in policy.services["callee"].accepts[1:] if rule.tcp is None]
        rule = rules[self._number(0, len(rules))]
        request = self._request(rule)
        with_token = self._chance.random() < (0.2 if rule.token is None else 0.9)
        return request, self._token(rule, request.source) if with_token else None

    def _token(self, rule: Rule, source: SpiffeId) -> Token:
        scopes = [*(rule.token.scopes if rule.token else ()), self._one(["", "read", "writer"])]
        acr = rule.token.acr if rule.token and rule.token.acr else "mfa"
        claims: dict[str, object] = {"scope": " ".join(scopes), "acr": acr, "req_wl": str(source)}
        odd: list[dict[str, object]] = [
            {"scope": ""}, {"scope": "read"}, {"scope": "reader writer"}, {"scope": " write  read"},
            {"scope": ["read", "write", 7]}, {"scope": ["read write"]}, {"scope": 7},
            {"scope": {"read": True}}, {"acr": "MFA"}, {"acr": 1}, {"acr": ["mfa"]},
            {"req_wl": str(CALLERS[0])}, {"req_wl": f"{source}/"}, {"req_wl": [str(source)]},
        ]  # fmt: skip
        if self._chance.random() < 0.4:
            claims |= odd[self._number(0, len(odd))]
        if self._chance.random() < 0.1:
            del claims[self._one(list(claims))]
        return self._tokens.token(claims, self._one(KINDS))

    def _request(self, rule: Rule) -> HttpRequest:
        patterns = rule.paths or ()
        path = self._one([pattern.text for pattern in patterns]) if patterns else "/any/{x}"
        path = "/".join(
            self._segment() if part.startswith("{") else part
            for part in path.removesuffix("/**").split("/")
        ) + (self._tail() if path.endswith("/**") else "")
        for _ in range(self._number(0, 3)):
            path = self._bend(path or "/")
        source = self._pick(list(rule.sources))
        if self._chance.random() < 0.15:
            source = self._pick(CALLERS)
        method = self._one(sorted(rule.methods)) if rule.methods else self._one(METHODS)
        if self._chance.random() < 0.1:
            method = self._one(METHODS)
        return HttpRequest(source=source, destination=CALLEE, method=method, path=path or "/")

    def connection(self) -> Connection:
        """Return a connection to `callee`."""
        port = PORTS[self._number(0, len(PORTS))]
        return Connection(source=self._pick(CALLERS), destination=CALLEE, port=port)

    def odd_request(self, policy: AccessPolicy) -> tuple[HttpRequest, Token | None]:
        """Return a request that only HTTP/2 can carry: odd methods, bytes beyond ASCII, no path."""
        plain, token = self.request(policy)
        method = self._one(ODD_METHODS)
        path = self._insert(plain.path, ["\xe9", "\xff", "?\xc3", "", ""])
        odd = HttpRequest(
            source=plain.source,
            destination=CALLEE,
            method=method,
            path="" if method == "CONNECT" else path,
        )
        return odd, token

    def _segment(self) -> str:
        return self._one([*_SEGMENTS, "7", "%20", "%c3%a9", "%252e%252e", "x" * 300, "**", "[1]"])

    def _tail(self) -> str:
        return self._one(["", "/", "/a", "/a/b/", "/a/{b}", "/..", "/a/../..", "//a"])

    def _bend(self, path: str) -> str:
        bends: list[Callable[[str], str]] = [
            lambda text: text + self._one(["?", "?a=1", "?/../x", "?%2f", "?;/..;/", "?//"]),
            lambda text: self._insert(text, ["/./", "//", "/x/../", "/%2e/", "/x/%2E%2e/", "/../"]),
            lambda text: self._insert(text, ["/..;/", "/.;x/", "/x/..;a=b/", "/%2e%2e;/", "/;/"]),
            lambda text: self._insert(text, ["%2f", "%5C", "\\", "\\..\\", "%00", "%2F..%2f"]),
            lambda text: self._insert(
                text, ["%", "%zz", "%2", "%%32%65", "%2%65", "%u002e", "%25"]
            ),
            lambda text: self._insert(text, ["#", "%23", "%3f", "|", '"', "{", "`", "^", "<"]),
            lambda text: text + self._one(["/", "/.", "/..", "//", "/..;", ";x=1", "%20", "/x"]),
            self._escape,
            self._escape,
            lambda text: text.swapcase(),
            lambda text: text[: self._number(1, len(text) + 1)],
            lambda text: self._one(["/", "//", "///", "", "/%2e", "/.."]) + text,
            lambda text: text + "/" + self._one(["a", "a/", "../"]) * self._number(1, 3000),
        ]
        return bends[self._number(0, len(bends))](path)

    def _insert(self, path: str, pieces: list[str]) -> str:
        """Put one of `pieces` in; a piece that starts with a slash takes a slash's place."""
        piece = self._one(pieces)
        slashes = [index for index, character in enumerate(path) if character == "/"]
        if piece.startswith("/") and slashes:
            at = slashes[self._number(0, len(slashes))]
            return path[:at] + piece + path[at + 1 :]
        at = self._number(1, len(path) + 1)
        return path[:at] + piece + path[at:]

    def _escape(self, path: str) -> str:
        """Write about every fourth character as its escape, in either case of the digits."""
        return path[:1] + "".join(
            self._one([f"%{ord(character):02x}", f"%{ord(character):02X}"])
            if character != "/" and self._chance.random() < 0.25
            else character
            for character in path[1:]
        )

    def _number(self, low: int, high: int) -> int:
        return int(self._chance.integers(low, high))

    def _one(self, choices: list[str] | tuple[str, ...]) -> str:
        return choices[self._number(0, len(choices))]

    def _pick(self, choices: list[SpiffeId]) -> SpiffeId:
        return choices[self._number(0, len(choices))]

    def _some(self, choices: list[SpiffeId] | tuple[str, ...]) -> str:
        count = self._number(1, len(choices) + 1)
        taken = self._chance.permutation(len(choices))[:count]
        return ", ".join(sorted(str(choices[index]) for index in taken))
