"""Back-pressure first, then a sample; what is left out is counted."""

import threading

import pyarrow as pa

from meshwarden.control.watching import Inbox
from meshwarden.control.watching.inbox import SAMPLE
from meshwarden.kernel import Call, calls_to_table


def calls(count: int) -> pa.Table:
    return calls_to_table(
        Call(time=n, source="unknown", destination="unknown", protocol="tcp", reporter="source")
        for n in range(count)
    )


def test_what_fits_is_taken_whole_and_in_order() -> None:
    inbox = Inbox(room=10)
    inbox.offer(calls(4))
    inbox.offer(calls(6))
    taken = inbox.take()
    assert taken.calls["time"].cast(pa.int64()).to_pylist() == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5]
    assert taken.left_out == 0
    assert inbox.take().calls.num_rows == 0


def test_who_offers_too_much_is_held_up_until_there_is_room() -> None:
    inbox = Inbox(room=10, patience_s=60)
    inbox.offer(calls(10))
    offering = threading.Thread(target=inbox.offer, args=(calls(5),))
    offering.start()
    offering.join(timeout=0.1)
    assert offering.is_alive()
    assert inbox.take().calls.num_rows == 10
    offering.join(timeout=30)
    assert not offering.is_alive()
    assert inbox.take().calls.num_rows == 5


def test_where_waiting_does_not_help_a_sample_goes_on_and_the_rest_is_counted() -> None:
    inbox = Inbox(room=100, patience_s=0)
    inbox.offer(calls(100))
    inbox.offer(calls(10 * SAMPLE))
    taken = inbox.take()
    assert taken.calls.num_rows == 110
    assert taken.left_out == 10 * SAMPLE - 10


def test_what_waits_is_bounded_whatever_is_offered() -> None:
    inbox = Inbox(room=100, patience_s=0)
    offered = 0
    for _ in range(50):
        inbox.offer(calls(100))
        offered += 100
    taken = inbox.take()
    assert taken.calls.num_rows <= 200
    assert taken.calls.num_rows + taken.left_out == offered


def test_closed_it_holds_nobody_up_and_takes_nothing() -> None:
    inbox = Inbox(room=1, patience_s=60)
    inbox.offer(calls(1))
    inbox.close()
    inbox.offer(calls(5))
    assert inbox.take().calls.num_rows == 1
