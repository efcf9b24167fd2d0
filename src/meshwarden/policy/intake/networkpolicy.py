"""NetworkPolicies into a draft: the port of requests becomes any request, others connections."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from meshwarden.kernel import SpiffeId
from meshwarden.policy.gate.model import Subject
from meshwarden.policy.intake.draft import Draft
from meshwarden.policy.intake.istio import is_ours
from meshwarden.policy.intake.part import Part, spec_of
from meshwarden.policy.model import Rule
from meshwarden.policy.targets.networkpolicy import NAMESPACE


@dataclass(slots=True)
class NetworkReader:
    """Reads NetworkPolicies; `http_port` is the number or name of the port of requests."""

    draft: Draft
    http_port: int | str

    def read(self, subjects: Iterable[Subject]) -> None:
        """Read each policy's ingress; of egress, what has no counterpart is noted."""
        for subject in subjects:
            if subject.group == "networking.k8s.io" and subject.kind == "NetworkPolicy":
                self.draft.objects += 1
                self._policy(subject)

    def _policy(self, subject: Subject) -> None:
        spec = spec_of(subject)
        if spec.at("podSelector").names() - {"matchLabels"}:
            self.draft.leave_out(spec.at("podSelector"), "selects by expressions: left out")
            return
        labels = spec.at("podSelector", "matchLabels")
        callees = self.draft.workloads.selected(subject.namespace or "default", labels)
        for callee in callees:
            self.draft.callee(callee.identity)
        for part in spec.at("ingress").each():
            for rule in self._ingress(part):
                self.draft.add(callees, rule)
        if not is_ours(subject):
            for part in spec.at("egress").each():
                self._egress(part)

    def _ingress(self, part: Part) -> Iterator[Rule]:
        if not list(part.at("from").each()):
            self.draft.leave_out(part, "names no peer, so lets anyone connect: left out")
            return
        sources = tuple(dict.fromkeys(s for one in part.at("from").each() for s in self._peer(one)))
        if not sources:
            return
        ports = list(part.at("ports").each())
        if not ports:
            what = "opens every port: the text allows requests, and no connections"
            self.draft.leave_out(part, what)
            yield Rule(name="", sources=sources)
        for port in ports:
            yield from self._port(port, sources)

    def _port(self, part: Part, sources: tuple[SpiffeId, ...]) -> Iterator[Rule]:
        port, protocol = part.at("port").value, part.at("protocol").text() or "TCP"
        if protocol != "TCP" or part.has("endPort"):
            self.draft.leave_out(part, "is not one TCP port: left out")
        elif port == self.http_port:
            yield Rule(name="", sources=sources)
        elif isinstance(port, int) and not isinstance(port, bool) and 1 <= port <= 65535:
            yield Rule(name="", sources=sources, tcp=port)
        else:
            self.draft.leave_out(part, "is a port of which only the name is known: left out")

    def _peer(self, part: Part) -> Iterator[SpiffeId]:
        spaces = part.at("namespaceSelector", "matchLabels").labels()
        odd = part.names() - {"namespaceSelector", "podSelector"}
        complex_ = any(
            part.at(key).names() - {"matchLabels"} for key in ("namespaceSelector", "podSelector")
        )
        if odd or complex_ or set(spaces) - {NAMESPACE}:
            self.draft.leave_out(part, "tells peers by more than a namespace and labels: left out")
            return
        if part.has("namespaceSelector") and not spaces:
            self.draft.leave_out(part, "admits every namespace: left out")
            return
        space = spaces.get(NAMESPACE) or part.subject.namespace or "default"
        labels = part.at("podSelector", "matchLabels")
        if not labels.labels():
            self.draft.leave_out(part, f"admits all pods of {space}: left out")
            return
        for one in self.draft.workloads.selected(space, labels):
            yield one.identity

    def _egress(self, part: Part) -> None:
        peers = list(part.at("to").each())
        if not peers:
            self.draft.leave_out(part, "opens ports to any address: no host is known; left out")
        for peer in peers:
            if peer.has("ipBlock"):
                self.draft.leave_out(peer, "is a range of addresses, not a host: left out")
