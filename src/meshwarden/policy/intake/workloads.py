"""Who the pods are that a policy selects: from workloads in the input, our notes, or a guess.

A selector names labels, an access policy names identities. In this order:

1. the annotation that our compiler leaves on what it writes;
2. Deployments and other objects with pods in the same input: labels, and the service account;
3. the value of the selector's label as the name of the service account, which is said.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from meshwarden.kernel import InputError, SpiffeId
from meshwarden.policy.gate.model import Subject
from meshwarden.policy.gate.subjects import pod_spec
from meshwarden.policy.intake.part import Part, spec_of
from meshwarden.policy.parse import SERVICE_NAME
from meshwarden.policy.targets.manifest import IDENTITY


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Pods of one identity: where they run, their labels, and what they are called."""

    namespace: str
    labels: Mapping[str, str]
    identity: SpiffeId
    name: str


@dataclass(slots=True, kw_only=True)
class Workloads:
    """The workloads that are known, in the order in which they were met."""

    trust_domain: str
    known: dict[SpiffeId, Workload] = field(default_factory=dict)
    guessed: set[SpiffeId] = field(default_factory=set)

    def learn(self, subjects: Iterable[Subject]) -> None:
        """Take in what the objects themselves say of pods."""
        for subject in subjects:
            if (found := _annotated(subject)) is not None or (
                found := self._running(subject)
            ) is not None:
                self.known.setdefault(found.identity, found)

    def selected(self, namespace: str, selector: Part) -> list[Workload]:
        """Return whom a selector of labels selects; one that is empty: all in the namespace."""
        labels = selector.labels()
        found = [
            one
            for one in self.known.values()
            if one.namespace == namespace
            and all(one.labels.get(key) == value for key, value in labels.items())
        ]
        if not found and labels and (guess := self._guess(namespace, labels)) is not None:
            self.known[guess.identity] = guess
            self.guessed.add(guess.identity)
            found = [guess]
        return found

    def _running(self, subject: Subject) -> Workload | None:
        pods = pod_spec(subject.kind, subject.value)
        if pods is None:
            return None
        template = spec_of(subject).at("template")
        labels = template.at("metadata", "labels").labels()
        account = pods.get("serviceAccountName")
        account = account if isinstance(account, str) and account else "default"
        identity = self._identity(subject.namespace or "default", account)
        if identity is None:
            return None
        space = subject.namespace or "default"
        return Workload(namespace=space, labels=labels, identity=identity, name=subject.name)

    def _guess(self, namespace: str, labels: Mapping[str, str]) -> Workload | None:
        name = (
            labels.get("app") or labels.get("app.kubernetes.io/name") or next(iter(labels.values()))
        )
        identity = self._identity(namespace, name)
        if identity is None or identity in self.known:
            return None
        return Workload(namespace=namespace, labels=labels, identity=identity, name=name)

    def _identity(self, namespace: str, account: str) -> SpiffeId | None:
        try:
            return SpiffeId(trust_domain=self.trust_domain, path=f"/ns/{namespace}/sa/{account}")
        except InputError:
            return None

    def names(self) -> dict[SpiffeId, str]:
        """Return the names that can be a service's, of workloads that no other shares it with."""
        taken: dict[str, SpiffeId] = {}
        for one in self.known.values():
            if SERVICE_NAME.fullmatch(one.name):
                taken.setdefault(one.name, one.identity)
        return {identity: name for name, identity in taken.items()}


def _annotated(subject: Subject) -> Workload | None:
    top = Part(subject, subject.value)
    text = top.at("metadata", "annotations").labels().get(IDENTITY, "")
    labels = next(iter(_selectors(top.at("spec"))), {})
    if not text or not labels:
        return None
    try:
        identity = SpiffeId.parse(text)
    except InputError:
        return None
    space = subject.namespace or "default"
    name = next(iter(labels.values()))
    return Workload(namespace=space, labels=labels, identity=identity, name=name)


def _selectors(spec: Part) -> Iterator[dict[str, str]]:
    for path in (
        ("selector", "matchLabels"),
        ("podSelector", "matchLabels"),
        ("workloadSelector", "labels"),
    ):
        if labels := spec.at(*path).labels():
            yield labels


def annotated_identities(subjects: Iterable[Subject]) -> Iterator[SpiffeId]:
    """Yield the identities in our annotations."""
    for subject in subjects:
        found = _annotated(subject)
        if found is not None:
            yield found.identity
