"""Whom an AuthorizationPolicy of Linkerd lets in, by identity."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from meshwarden.kernel import InputError, SpiffeId
from meshwarden.policy.gate.model import Subject
from meshwarden.policy.intake.draft import Draft
from meshwarden.policy.intake.part import Part, spec_of

_IDENTITY: Final = re.compile(
    r"([a-z0-9.-]+)\.([a-z0-9-]+)\.serviceaccount\.identity\.[a-z0-9-]+\.([a-z0-9._-]+)"
)


@dataclass(frozen=True, slots=True)
class Callers:
    """Looks references up among Linkerd's objects, by kind, namespace and name."""

    objects: Mapping[tuple[str, str, str], Subject]
    draft: Draft

    def of(self, spec: Part) -> Iterator[SpiffeId]:
        """Yield the callers that an AuthorizationPolicy asks to be."""
        references = list(spec.at("requiredAuthenticationRefs").each())
        if len(references) != 1:
            what = "asks for several proofs, or for none: left out"
            self.draft.leave_out(spec.at("requiredAuthenticationRefs"), what)
            return
        (one,) = references
        kind, name = one.at("kind").text(), one.at("name").text()
        space = one.at("namespace").text() or spec.subject.namespace
        if kind == "ServiceAccount":
            yield from self._account(one, space, name)
            return
        found = self.objects.get((kind, space, name))
        if kind != "MeshTLSAuthentication" or found is None:
            self.draft.leave_out(one, f"{kind[:40]} {name[:80]} proves no identity: left out")
            return
        for entry in spec_of(found).at("identities").each():
            yield from self._identity(entry)
        for entry in spec_of(found).at("identityRefs").each():
            if entry.at("kind").text() == "ServiceAccount" and entry.at("name").text():
                there = entry.at("namespace").text() or space
                yield from self._account(entry, there, entry.at("name").text())
            else:
                self.draft.leave_out(entry, "names more than one service account: left out")

    def _identity(self, entry: Part) -> Iterator[SpiffeId]:
        found = _IDENTITY.fullmatch(entry.text())
        text = f"spiffe://{found[3]}/ns/{found[2]}/sa/{found[1]}" if found else entry.text()
        try:
            yield SpiffeId.parse(text)
        except InputError:
            self.draft.leave_out(entry, f"{entry.text()[:80]!r} is not one identity: left out")

    def _account(self, part: Part, space: str, name: str) -> Iterator[SpiffeId]:
        try:
            domain = self.draft.workloads.trust_domain
            yield SpiffeId(trust_domain=domain, path=f"/ns/{space}/sa/{name}")
        except InputError:
            self.draft.leave_out(part, f"{name[:80]!r} is no service account: left out")
