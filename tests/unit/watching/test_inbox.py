"""Back-pressure first, then a sample; what is left out is counted."""

import threading

from meshwarden.control.watching import Inbox
from meshwarden.control.watching.inbox import SAMPLE
from meshwarden.kernel import Call


def calls(count: int) -> list[Call]:
    return [
        Call(time=n, source="unknown", destination="unknown", protocol="tcp", reporter="source")
        for n in range(count)
    ]


def test_what_fits_is_taken_whole_and_in_order() -> None:
    inbox = Inbox(room=10)
    inbox.offer(calls(4))
    inbox.offer(calls(6))
    taken = inbox.take()
    assert [call.time for call in taken.calls] == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5]
    assert taken.left_out == 0
    assert inbox.take().calls == []


def test_who_offers_too_much_is_held_up_until_there_is_room() -> None:
    inbox = Inbox(room=10, patience_s=60)
    inbox.offer(calls(10))
    offering = threading.Thread(target=inbox.offer, args=(calls(5),))
    offering.start()
    offering.join(timeout=0.1)
    assert offering.is_alive()
    assert len(inbox.take().calls) == 10
    offering.join(timeout=30)
    assert not offering.is_alive()
    assert len(inbox.take().calls) == 5


def test_where_waiting_does_not_help_a_sample_goes_on_and_the_rest_is_counted() -> None:
    inbox = Inbox(room=100, patience_s=0)
    inbox.offer(calls(100))
    inbox.offer(calls(10 * SAMPLE))
    taken = inbox.take()
    assert len(taken.calls) == 110
    assert taken.left_out == 10 * SAMPLE - 10


def test_what_waits_is_bounded_whatever_is_offered() -> None:
    inbox = Inbox(room=100, patience_s=0)
    offered = 0
    for _ in range(50):
        inbox.offer(calls(100))
        offered += 100
    taken = inbox.take()
    assert len(taken.calls) <= 200
    assert len(taken.calls) + taken.left_out == offered


def test_closed_it_holds_nobody_up_and_takes_nothing() -> None:
    inbox = Inbox(room=1, patience_s=60)
    inbox.offer(calls(1))
    inbox.close()
    inbox.offer(calls(5))
    assert len(inbox.take().calls) == 1
