"""The five methods of the SPIFFE Workload API, for one attested caller.

Source: SPIFFE Workload API and Workload Endpoint. Order of what is refused, each with one constant
message, so that a caller learns nothing about what is registered:

1. no security header: InvalidArgument (Workload Endpoint, 4.1);
2. unknown method: Unimplemented;
3. a caller that meets no registration: PermissionDenied, and the refusal is recorded;
4. what the method does not understand: InvalidArgument; an identity that is not the caller's:
   PermissionDenied; an authority that cannot issue: Unavailable.
"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError

from meshwarden.adapters.spiffe import messages
from meshwarden.adapters.spiffe.grpc_call import Code, Refusal, Request
from meshwarden.identity import (
    Bundle,
    ProcessFacts,
    Registration,
    Svid,
    render_jwt_keys,
    require_audience,
    verify_jwt_svid,
)
from meshwarden.kernel import (
    ConfigError,
    InputError,
    MeshwardenError,
    SpiffeId,
    VerificationError,
)

SECURITY_HEADER: Final = b"workload.spiffe.io"
NO_HEADER: Final = "security header missing from request"
NO_IDENTITY: Final = "no identity issued"
NOT_VALID: Final = "the token is not valid"
MALFORMED: Final = "the request is malformed"
NOT_NOW: Final = "no identity can be issued at present"
_SERVICE: Final = "/SpiffeWorkloadAPI/"
_UNARY: Final = frozenset({"FetchJWTSVID", "ValidateJWTSVID"})
_STREAMS: Final = frozenset({"FetchX509SVID", "FetchX509Bundles", "FetchJWTBundles"})
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----([A-Za-z0-9+/=\s]+)-----END [A-Z ]+-----")


class Issuing(Protocol):
    """What the Workload API hands out, and who decides about it."""

    def registrations(self, facts: ProcessFacts) -> Sequence[Registration]:
        """Return the registrations that the process meets, its default identity first."""
        ...

    def x509_svid(self, facts: ProcessFacts, identity: SpiffeId) -> Svid:
        """Return the process's own current SVID of an identity that it may have."""
        ...

    def jwt_svid(self, identity: SpiffeId, audience: Sequence[str]) -> str:
        """Return a fresh JWT-SVID."""
        ...

    def bundles(self) -> Mapping[str, Bundle]:
        """Return all bundles by trust domain, our own first."""
        ...

    def tokens_end(self, identity: SpiffeId) -> datetime | None:
        """Return until when issued JWT-SVIDs of `identity` count no more; None: all count."""
        ...

    def revocation_lists(self) -> Sequence[bytes]:
        """Return the certificate revocation lists, DER."""
        ...

    def refused(self, facts: ProcessFacts, method: str) -> None:
        """Record that a process was refused."""
        ...

    def now(self) -> datetime:
        """Return the time of day."""
        ...


@dataclass(frozen=True, slots=True)
class WorkloadApi:
    """The methods, in the name of the process `facts`."""

    issuing: Issuing
    facts: ProcessFacts

    def unary(self, request: Request) -> bytes | None:
        """Return the answer of a unary method; None where `request` is for a stream.

        Raises:
            Refusal: see the module.
        """
        if request.metadata.get(SECURITY_HEADER) != b"true":
            raise Refusal(Code.INVALID_ARGUMENT, NO_HEADER)
        method = request.path.removeprefix(_SERVICE)
        if not request.path.startswith(_SERVICE) or method not in _UNARY | _STREAMS:
            raise Refusal(Code.UNIMPLEMENTED, "unknown method")
        if method in _STREAMS:
            return None
        found = self._registered(method)
        try:
            if method == "FetchJWTSVID":
                return self._fetch_jwt(request.message, found)
            return self._validate_jwt(request.message)
        except DecodeError as error:
            raise Refusal(Code.INVALID_ARGUMENT, MALFORMED) from error

    def state(self, request: Request) -> bytes:
        """Return what the stream of `request` shows now: always everything.

        Raises:
            Refusal: see the module.
        """
        method = request.path.removeprefix(_SERVICE)
        found = self._registered(method)
        if method == "FetchX509SVID":
            return self._x509_svids(found)
        if method == "FetchX509Bundles":
            return self._x509_bundles()
        return self._jwt_bundles()

    def _registered(self, method: str) -> Sequence[Registration]:
        found = self.issuing.registrations(self.facts)
        if not found:
            self.issuing.refused(self.facts, method)
            raise Refusal(Code.PERMISSION_DENIED, NO_IDENTITY)
        return found

    def _x509_svids(self, found: Sequence[Registration]) -> bytes:
        own, *federated = self.issuing.bundles().values()
        response = messages.X509SVIDResponse(crl=self.issuing.revocation_lists())
        for registration in found:
            with _unavailable():
                svid = self.issuing.x509_svid(self.facts, registration.identity)
            response.svids.add(
                spiffe_id=str(svid.identity),
                x509_svid=_der(svid.certificate_chain),
                x509_svid_key=_der(svid.private_key.reveal()),
                bundle=own.der,
                hint=registration.hint,
            )
        for bundle in federated:
            response.federated_bundles[bundle.trust_domain] = bundle.der
        return _serialized(response)

    def _x509_bundles(self) -> bytes:
        response = messages.X509BundlesResponse(crl=self.issuing.revocation_lists())
        for name, bundle in self.issuing.bundles().items():
            response.bundles[name] = bundle.der
        return _serialized(response)

    def _jwt_bundles(self) -> bytes:
        response = messages.JWTBundlesResponse()
        for name, bundle in self.issuing.bundles().items():
            text = json.dumps(render_jwt_keys(bundle), separators=(",", ":"))
            response.bundles[name] = text.encode()
        return _serialized(response)

    def _fetch_jwt(self, message: bytes, found: Sequence[Registration]) -> bytes:
        request = messages.JWTSVIDRequest.FromString(message)
        try:
            require_audience(request.audience)
            wanted = SpiffeId.parse(request.spiffe_id) if request.spiffe_id else None
        except (ConfigError, InputError) as error:
            raise Refusal(Code.INVALID_ARGUMENT, MALFORMED) from error
        given = [one for one in found if wanted in {None, one.identity}]
        if not given:
            self.issuing.refused(self.facts, "FetchJWTSVID")
            raise Refusal(Code.PERMISSION_DENIED, NO_IDENTITY)
        response = messages.JWTSVIDResponse()
        for registration in given:
            with _unavailable():
                token = self.issuing.jwt_svid(registration.identity, request.audience)
            response.svids.add(
                spiffe_id=str(registration.identity), svid=token, hint=registration.hint
            )
        return _serialized(response)

    def _validate_jwt(self, message: bytes) -> bytes:
        request = messages.ValidateJWTSVIDRequest.FromString(message)
        if not request.audience or not request.svid:
            raise Refusal(Code.INVALID_ARGUMENT, MALFORMED)
        try:
            proven = verify_jwt_svid(
                request.svid,
                self.issuing.bundles(),
                audience=request.audience,
                now=self.issuing.now(),
                ended=self.issuing.tokens_end,
            )
            response = messages.ValidateJWTSVIDResponse(spiffe_id=str(proven.identity))
            ParseDict(dict(proven.claims), response.claims)
        except (VerificationError, ParseError) as error:
            raise Refusal(Code.INVALID_ARGUMENT, NOT_VALID) from error
        return _serialized(response)


class _unavailable:  # noqa: N801  # reads as a statement
    """Turns an authority that cannot issue into Unavailable, which clients try again."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, MeshwardenError):
            raise Refusal(Code.UNAVAILABLE, NOT_NOW) from error


def _serialized(message: Any) -> bytes:  # noqa: ANN401  # of classes built at run time
    # Deterministic: a stream compares states to send only what changed.
    raw: bytes = message.SerializeToString(deterministic=True)
    return raw


def _der(pem: str) -> bytes:
    """Return the DER of all PEM blocks, one after another."""
    return b"".join(base64.b64decode(body) for body in _PEM.findall(pem))
