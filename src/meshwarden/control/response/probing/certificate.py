"""A certificate shown to its peers by whoever holds its key, from a place that is not cut off.

The request is one that policy allows to that identity. Its body is announced and never sent: a
sidecar that refuses does so by then, and a service that is asked after all has nothing to act on.
"""

import os
import ssl
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from meshwarden.control.layout import INBOUND_PORT, Layout
from meshwarden.control.response.probing.places import network_of, open_socket
from meshwarden.identity import Svid
from meshwarden.kernel import SpiffeId, VerificationError
from meshwarden.policy import AccessPolicy, Rule

AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request that a rule allows: whom, how, what."""

    callee: str
    method: str
    path: str


def questions_for(policy: AccessPolicy, identity: SpiffeId, known: Iterable[str]) -> list[Question]:
    """Return one request to each of the services `known` that takes requests of `identity`."""
    found = []
    for callee in known:
        rules = policy.services[callee].accepts
        rule = next((one for one in rules if identity in one.sources and one.tcp is None), None)
        if rule is not None:
            found.append(Question(callee=callee, method=_method(rule), path=_path(rule)))
    return found


def verify_refused(
    layout: Layout, svid: Svid, questions: list[Question], *, place: str, in_handshake: bool
) -> str:
    """Return what shows that `svid` is refused by all, in words; blocks.

    Args:
        layout: where all stand.
        svid: with its private key.
        questions: what is asked.
        place: the service in whose network the holder stands.
        in_handshake: whether refusing the request is not enough.

    Raises:
        VerificationError: `certificate.accepted`, naming who took it.
    """
    context = _context(svid)
    with ThreadPoolExecutor(AT_ONCE) as hands:
        answers = hands.map(lambda one: _ask(layout, context, one, place=place), questions)
    for question, answer in zip(questions, answers, strict=True):
        if answer is not None and (in_handshake or answer != 403):
            raise VerificationError(
                "certificate.accepted", f"{question.callee} answered {answer} to the certificate"
            )
    how = "in the handshake" if in_handshake else "by policy or in the handshake"
    return f"certificate {svid.sha256[:16]} refused {how} by {len(questions)} peers"


def _ask(layout: Layout, context: ssl.SSLContext, question: Question, *, place: str) -> int | None:
    """Return the status that is answered; None where the connection was refused."""
    request = (
        f"{question.method} {question.path} HTTP/1.1\r\nhost: {question.callee}\r\n"
        "content-length: 1\r\n\r\n"
    )
    with network_of(layout, place) as namespace:
        end = open_socket(layout, namespace, place, sidecar=True)
    try:
        with end:
            end.connect((layout.host(question.callee), INBOUND_PORT))
            with context.wrap_socket(end) as secure:
                secure.sendall(request.encode())
                said = _first_words(secure)
    except OSError:  # ssl.SSLError too
        return None
    return int(said.split()[1]) if said.startswith(b"HTTP/") else None


def _first_words(secure: ssl.SSLSocket) -> bytes:
    try:
        return secure.recv(64)
    except TimeoutError:
        return b"HTTP/1.1 100"  # it was taken, and the service waits for the body


def _context(svid: Svid) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # what the other end does is looked at, not who it is
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    held = os.memfd_create("svid", os.MFD_CLOEXEC)  # the key is on no disk
    try:
        os.write(held, f"{svid.private_key.reveal()}{svid.certificate_chain}".encode())
        context.load_cert_chain(f"/proc/self/fd/{held}")
    finally:
        os.close(held)
    return context


def _method(rule: Rule) -> str:
    return "GET" if rule.methods is None or "GET" in rule.methods else min(rule.methods)


def _path(rule: Rule) -> str:
    if rule.paths is None:
        return "/"
    pattern = rule.paths[0]
    path = "/" + "/".join("probe" if one is None else one for one in pattern.segments)
    return f"{path}/probe" if pattern.rest else path
