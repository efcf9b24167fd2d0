"""AdmissionReview (admission.k8s.io/v1) in, its response out; what decides lies between.

A review that breaks its format is refused, never allowed: `parse_review` raises. Deletions and
connections bring no object and are allowed. In enforced namespaces an object is refused for
findings from the configured severity up, and where a rule could not be evaluated.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshwarden.kernel import InputError
from meshwarden.policy.gate.model import ORDER, Document, GateFinding, Problem
from meshwarden.policy.gate.settings import Admission, Mode

API_VERSION: Final = "admission.k8s.io/v1"
MAX_BYTES: Final = 4 * 1024 * 1024
"""The API server takes objects of 1.5 MiB; a review of an update holds two."""

MAX_WARNINGS: Final = 20
WARNING_LENGTH: Final = 120  # Kubernetes: warnings above 120 characters may be cut
JUDGED: Final = frozenset({"CREATE", "UPDATE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What is asked: may this object be there? `object` is None where nothing is to be judged."""

    uid: str
    operation: str
    namespace: str
    object: dict[str, Any] | None

    def document(self) -> Document:
        """Return the object as the command would read it from a file."""
        value = self.object or {}
        return Document(source="admission", line=1, raw=json.dumps(value).encode(), value=value)


def parse_review(raw: bytes) -> Review:
    """Return the review in `raw`.

    Raises:
        InputError: `admission.malformed`, `admission.too_large`.
    """
    if len(raw) > MAX_BYTES:
        raise InputError("admission.too_large", "the review is too large", where="review")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _malformed("it is no JSON") from error
    if not isinstance(document, dict) or document.get("apiVersion") != API_VERSION:
        raise _malformed(f"its apiVersion is not {API_VERSION}")
    request = document.get("request")
    if document.get("kind") != "AdmissionReview" or not isinstance(request, dict):
        raise _malformed("it is no AdmissionReview with a request")
    uid, operation = request.get("uid"), request.get("operation")
    if not isinstance(uid, str) or not uid or len(uid) > 256:
        raise _malformed("its request has no uid")
    if operation not in {"CREATE", "UPDATE", "DELETE", "CONNECT"}:
        raise _malformed("its operation is unknown")
    namespace, value = request.get("namespace", ""), request.get("object")
    if not isinstance(namespace, str):
        raise _malformed("its namespace is no text")
    judged: dict[str, Any] | None = None
    if operation in JUDGED:
        if not isinstance(value, dict):
            raise _malformed("it brings no object")
        judged = _placed(value, namespace)
    return Review(uid=uid, operation=operation, namespace=namespace, object=judged)


def _placed(value: dict[str, Any], namespace: str) -> dict[str, Any]:
    """Return the object with the namespace that it is created in."""
    metadata = value.get("metadata")
    if not namespace or not isinstance(metadata, dict) or metadata.get("namespace"):
        return value
    if value.get("kind") == "Namespace":
        return value
    return {**value, "metadata": {**metadata, "namespace": namespace}}


def _malformed(why: str) -> InputError:
    return InputError("admission.malformed", f"the review is malformed: {why}", where="review")


def mode_of(review: Review, admission: Admission, own_namespace: str) -> Mode:
    """Return how findings about the object are taken; the own namespace is exempt."""
    if review.namespace == own_namespace:
        return Mode.EXEMPT
    return admission.namespaces.get(review.namespace, admission.default)


def respond(
    review: Review,
    findings: Sequence[GateFinding],
    problems: Sequence[Problem],
    *,
    mode: Mode,
    admission: Admission,
) -> dict[str, Any]:
    """Return the AdmissionReview that answers `review`."""
    counted = [one for one in findings if one.suppressed is None]
    counted.sort(key=lambda one: -ORDER[one.severity])
    grave = [one for one in counted if ORDER[one.severity] >= ORDER[admission.fail_on]]
    texts = [f"{one.severity}: {one.message} [{one.rule}]" for one in counted]
    texts += [f"not judged: {one.message}" for one in problems]
    refused = mode is Mode.ENFORCE and bool(grave or problems)
    response: dict[str, Any] = {"uid": review.uid, "allowed": not refused}
    if texts:
        response["warnings"] = [text[:WARNING_LENGTH] for text in texts[:MAX_WARNINGS]]
    if refused:
        reasons = [f"{one.message} [{one.rule}]" for one in grave]
        reasons += [f"not judged: {one.message}" for one in problems]
        message = "meshwarden gate: " + "; ".join(reasons)[:2000]
        response["status"] = {"code": 403, "reason": "Forbidden", "message": message}
    if counted:
        rules = sorted({one.rule for one in counted})
        response["auditAnnotations"] = {"rules": ",".join(rules)[:1000], "mode": mode.value}
    return {"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response}
