"""The delta xDS conversation, against the rules of the protocol."""

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest
from google.rpc.status_pb2 import Status

from meshwarden.adapters.envoy.delta import MAX_UNANSWERED, Conversation, Versioned, versioned


def resources(*names: str, note: str = "") -> dict[str, Versioned]:
    return {name: versioned(Cluster(name=name, alt_stat_name=note)) for name in names}


def opened(*names: str, initial: dict[str, str] | None = None, type_url: str = "t") -> Conversation:
    conversation = Conversation("node", type_url)
    conversation.receive(
        DeltaDiscoveryRequest(
            resource_names_subscribe=names, initial_resource_versions=initial or {}
        )
    )
    return conversation


def ack(nonce: str) -> DeltaDiscoveryRequest:
    return DeltaDiscoveryRequest(response_nonce=nonce)


def nack(nonce: str, why: str) -> DeltaDiscoveryRequest:
    return DeltaDiscoveryRequest(response_nonce=nonce, error_detail=Status(message=why))


def sent(conversation: Conversation, available: dict[str, Versioned]) -> list[str]:
    response = conversation.respond(available)
    return [resource.name for resource in response.resources] if response else []


def test_nothing_is_sent_before_the_proxy_asks() -> None:
    assert Conversation("node", "t").respond(resources("a")) is None


def test_an_empty_first_request_is_a_wildcard() -> None:
    assert sent(opened(), resources("a", "b")) == ["a", "b"]


def test_only_what_changed_is_sent_again() -> None:
    conversation = opened()
    conversation.respond(resources("a", "b"))
    changed = resources("a") | resources("b", note="new")
    assert sent(conversation, changed) == ["b"]
    assert sent(conversation, changed) == []


def test_a_reconnecting_proxy_that_holds_the_version_is_sent_nothing_and_counts_as_accepted() -> (
    None
):
    available = resources("a")
    conversation = Conversation("node", "t")
    answers = conversation.receive(
        DeltaDiscoveryRequest(
            resource_names_subscribe=["a"],
            initial_resource_versions={"a": available["a"].version},
        )
    )
    assert [(answer.name, answer.error) for answer in answers] == [("a", None)]
    assert conversation.respond(available) is None


def test_a_name_subscribed_again_is_answered_though_unchanged() -> None:
    conversation = opened("a")
    conversation.respond(resources("a"))
    conversation.receive(DeltaDiscoveryRequest(resource_names_subscribe=["a"]))
    assert sent(conversation, resources("a")) == ["a"]


def test_a_name_that_does_not_exist_is_answered_as_removed_once() -> None:
    conversation = opened("ghost")
    response = conversation.respond({})
    assert response is not None
    assert list(response.removed_resources) == ["ghost"]
    assert conversation.respond({}) is None
    assert sent(conversation, resources("ghost")) == ["ghost"]


def test_what_is_withdrawn_is_removed_from_a_wildcard_proxy() -> None:
    conversation = opened()
    conversation.respond(resources("a", "b"))
    response = conversation.respond(resources("a"))
    assert response is not None
    assert list(response.removed_resources) == ["b"]


def test_an_acknowledgement_names_each_resource_and_version() -> None:
    conversation, available = opened(), resources("a", "b")
    response = conversation.respond(available)
    assert response is not None
    answers = conversation.receive(ack(response.nonce))
    assert {(answer.name, answer.version) for answer in answers} == {
        (name, resource.version) for name, resource in available.items()
    }


def test_a_refused_version_is_not_sent_again_but_its_successor_is() -> None:
    conversation = opened("a")
    response = conversation.respond(resources("a"))
    assert response is not None
    [answer] = conversation.receive(nack(response.nonce, "no such field"))
    assert answer.error == "no such field"
    assert sent(conversation, resources("a")) == []
    assert sent(conversation, resources("a", note="mended")) == ["a"]


def test_a_refused_batch_is_sent_again_one_by_one_so_that_the_bad_one_is_named() -> None:
    conversation, available = opened(), resources("bad", "good")
    response = conversation.respond(available)
    assert response is not None
    assert conversation.receive(nack(response.nonce, "something in it is bad")) == []
    first, second = conversation.respond(available), conversation.respond(available)
    assert first is not None
    assert second is not None
    assert [len(first.resources), len(second.resources)] == [1, 1]
    [refused] = conversation.receive(nack(first.nonce, "bad"))
    [accepted] = conversation.receive(ack(second.nonce))
    assert (refused.name, refused.error, accepted.name, accepted.error) == (
        "bad",
        "bad",
        "good",
        None,
    )


def test_a_stale_or_invented_nonce_is_ignored() -> None:
    conversation = opened()
    assert conversation.receive(ack("12345")) == []
    assert conversation.receive(nack("12345", "lies")) == []


def test_the_version_depends_on_the_content_alone() -> None:
    assert resources("a")["a"].version == resources("a")["a"].version
    assert resources("a")["a"].version != resources("a", note="x")["a"].version


def test_what_is_forgotten_is_sent_again_where_the_proxy_wants_it() -> None:
    conversation = opened("a", "b")
    conversation.respond(resources("a", "b", "c"))
    conversation.forget(["a", "c"])
    assert sent(conversation, resources("a", "b", "c")) == ["a"]


def test_who_answers_nothing_is_sent_no_more_and_then_the_newest() -> None:
    conversation = opened()
    versions = [resources("a", note=str(number)) for number in range(MAX_UNANSWERED + 5)]
    assert [sent(conversation, one) for one in versions].count(["a"]) == MAX_UNANSWERED
    assert len(conversation.in_flight) == MAX_UNANSWERED
    conversation.receive(ack("1"))
    response = conversation.respond(versions[-1])
    assert response is not None
    assert response.resources[0].version == versions[-1]["a"].version
