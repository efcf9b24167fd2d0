"""The token part of the control plane's own API.

- `GET /v1/tokens`: keys, revocations in force, outcomes of requests by reason.
- `GET /v1/tokens/transactions/{txn}`: the chain of one transaction.
- `POST /v1/tokens/revoke` `{"kind", "value", "reason"?}`: answers when every hop refuses it.
- `POST /v1/tokens/rotate` `{"withdraw"?}`: the next signing key, or one taken back at once.
- `POST /v1/tokens/erase` `{"subject"}`: forget what is kept of a subject for risk.
"""

import dataclasses
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from meshwarden.console.identity_api import answering, read_object
from meshwarden.control.plane import ControlPlane
from meshwarden.control.plane.tokens import MeshTokens
from meshwarden.kernel import InputError, StateError
from meshwarden.tokens import Link, RevokedKind


def token_routes(plane: ControlPlane) -> list[Route]:
    """Return the routes that answer for the token service of `plane`."""

    async def _show(_: Request) -> dict[str, Any]:
        return describe(_tokens(plane))

    async def _chain(request: Request) -> dict[str, Any]:
        transaction = request.path_params["txn"]
        links = await _tokens(plane).service.chain(transaction)
        if not links:
            raise InputError("token.unknown_transaction", "no token was issued for it", where="txn")
        return {"transaction": transaction, "chain": [_link(link) for link in links]}

    async def _revoke(request: Request) -> dict[str, Any]:
        body = await read_object(request, {"kind": str, "value": str, "reason": str})
        kind, value = body.get("kind"), body.get("value")
        if kind not in set(RevokedKind) or not value or len(value) > 512:
            raise InputError(
                "token.revoke", "names nothing", where="request",
                hint="kind is session, subject or transaction",
            )  # fmt: skip
        tokens = _tokens(plane)
        found = await tokens.revoke(RevokedKind(kind), value, reason=body.get("reason", "")[:500])
        return {"kind": kind, **dataclasses.asdict(found)}

    async def _rotate(request: Request) -> dict[str, Any]:
        body = await read_object(request, {"withdraw": str})
        keeping = _tokens(plane).service.keeping
        if "withdraw" not in body:
            await keeping.look(force=True)
        elif not await keeping.withdraw(body["withdraw"]):
            raise InputError("token.unknown_key", "no key has that kid", where="request")
        return describe(_tokens(plane))

    async def _erase(request: Request) -> dict[str, Any]:
        body = await read_object(request, {"subject": str})
        subject = body.get("subject", "")
        return {"erased": await _tokens(plane).service.risk.erase(subject)}

    return [
        Route("/v1/tokens", answering(_show)),
        Route("/v1/tokens/transactions/{txn}", answering(_chain)),
        Route("/v1/tokens/revoke", answering(_revoke), methods=["POST"]),
        Route("/v1/tokens/rotate", answering(_rotate), methods=["POST"]),
        Route("/v1/tokens/erase", answering(_erase), methods=["POST"]),
    ]


def describe(tokens: MeshTokens) -> dict[str, Any]:
    """Return the state of the token service as JSON values."""
    keeping = tokens.service.keeping
    signing = keeping.signing().kid
    return {
        "issuer": tokens.service.policy.issuer,
        "keys": [
            {
                "kid": key.kid,
                "algorithm": key.algorithm,
                "signs_from": _stamp(key.signs_from.isoformat()),
                "published_until": _stamp(key.published_until.isoformat()),
                "status": "withdrawn"
                if key.withdrawn
                else "signing"
                if key.kid == signing
                else "published",
            }
            for key in keeping.keys
        ],
        "revoked": [
            {
                "kind": one.kind.value,
                "value": one.value,
                "time": _stamp(one.time.isoformat()),
                "reason": one.reason,
            }
            for one in keeping.revocations
        ],
        "outcomes": dict(sorted(tokens.service.outcomes.items())),
    }


def _link(link: Link) -> dict[str, Any]:
    return {**dataclasses.asdict(link), "scopes": list(link.scopes)}


def _tokens(plane: ControlPlane) -> MeshTokens:
    if plane.tokens is None:
        raise StateError(
            "token.none", "this mesh has no token service", hint="add `tokens` to the mesh file"
        )
    return plane.tokens


def _stamp(text: str) -> str:
    return text.replace("+00:00", "Z")
