"""The wire: what was received is dispatched in order, and what is sent leaves in whole frames, in order, soon."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from struct import pack
from typing import Any

import amqp
import pytest
from amqp import spec
from amqp.exceptions import (
    FrameError,
    FrameSyntaxError,
    NotFound,
    RecoverableConnectionError,
    UnexpectedFrame,
)
from amqp.serialization import dumps, loads
from hypothesis import given
from hypothesis import strategies as st

from kombu_amqp.frames import FrameParser
from kombu_amqp.wire import BATCH, HOLD_MOST, HOLD_SECONDS, _flush_last
from tests.unit.kombu_amqp.link import Link, Peer, content, delivery, method


@pytest.fixture
def link() -> Link:
    return Link()


def test_deliveries_reach_their_channel_one_at_a_time(link: Link) -> None:
    # Given two deliveries received together
    link.receive(delivery(1, b"one", content_type="a/b"), delivery(2, b"two", application_headers={"k": 1}))
    assert link.wire.has_buffered
    # When one is dispatched
    assert link.wire.dispatch()
    # Then the channel has that one, in its parts, and the other waits
    assert link.channel.seen == [("tag", 1, False, "exchange", "key", {"content_type": "a/b"}, b"one")]
    assert link.wire.has_buffered
    assert link.wire.dispatch()
    assert link.channel.seen[1][5:] == ({"application_headers": {"k": 1}}, b"two")
    assert not link.wire.has_buffered
    assert not link.wire.dispatch()
    # And what was received counts as a sign of life
    assert link.connection.bytes_recv == 1


def test_a_heartbeat_is_a_sign_of_life_and_no_event(link: Link) -> None:
    link.receive(b"\x08\x00\x00\x00\x00\x00\x00\xce")
    assert link.connection.bytes_recv == 1
    assert not link.wire.has_buffered
    assert not link.wire.dispatch()


def test_confirms_reach_their_channel(link: Link) -> None:
    link.receive(method(1, spec.Basic.Ack, dumps("Lb", [7, True])), method(1, spec.Basic.Nack, dumps("Lbb", [8, 0, 1])))
    assert link.dispatch_all() == 2
    assert link.channel.seen == [(7, True, True), (8, False, False)]


def test_other_methods_take_the_drivers_way(link: Link) -> None:
    # Given somebody who wants returned messages
    returned: list[Any] = []
    link.channel.events["basic_return"].add(lambda *parts: returned.append(parts))
    # When one comes
    arguments = dumps("Bsss", [312, "NO_ROUTE", "exchange", "key"])
    link.receive(method(1, spec.Basic.Return, arguments), content(1, {"content_type": "a/b"}, b"back"))
    link.dispatch_all()
    # Then it is the driver's message
    ((error, exchange, key, message),) = returned
    assert (error.reply_code, exchange, key) == (312, "exchange", "key")
    assert (message.body, message.content_type) == (b"back", "a/b")


def test_a_channel_error_comes_after_the_deliveries_before_it(link: Link) -> None:
    # Given a delivery, then the channel's end
    close = method(1, spec.Channel.Close, dumps("BsBB", [404, "NOT_FOUND", 60, 40]))
    link.receive(delivery(1), close)
    link.channel._do_revive = lambda: None
    # When both are dispatched, Then they are in order, and the close is answered
    assert link.wire.dispatch()
    with pytest.raises(NotFound):
        link.wire.dispatch()
    assert [parts[1] for parts in link.channel.seen] == [1]
    assert [payload[:4] for _, _, payload in link.peer.methods()] == [pack(">HH", *spec.Channel.CloseOk)]


def test_larger_frames_are_taken_once_agreed_on(link: Link) -> None:
    # Given a broker that proposes frames of a million octets
    link.receive(method(0, spec.Connection.Tune, dumps("BlB", [100, 1 << 20, 0])))
    link.dispatch_all()
    # When it sends one
    link.receive(delivery(1, b"x" * 500000))
    # Then it is taken, and messages are sent in such frames too
    assert link.dispatch_all() == 1
    link.peer.writes.clear()
    link.wire.publish(1, "", "q", False, False, {}, b"x" * 500000)
    assert [kind for kind, _, _ in link.peer.methods()] == [1, 2, 3]


def test_what_came_before_malformed_bytes_is_dispatched_before_the_error(link: Link) -> None:
    # Given a delivery and then garbage
    link.receive(delivery(1), b"garbage and more")
    # Then there is something to do
    assert link.wire.dispatch()
    assert link.wire.has_buffered
    for _ in range(2):
        with pytest.raises(FrameError, match="garbage"):
            link.wire.dispatch()
    # And what comes afterwards is not believed
    link.receive(delivery(2))
    with pytest.raises(FrameError):
        link.wire.dispatch()
    assert len(link.channel.seen) == 1


def test_malformed_properties_are_an_error_of_that_message_only(link: Link) -> None:
    # Given a message whose header table is cut short, and a good one
    bad = method(1, spec.Basic.Deliver, dumps("sLbss", ["tag", 1, False, "", "q"]))
    bad += pack(">BHIHHQ", 2, 1, 18, 60, 0, 0) + b"\x20\x00\x00\x00\x00\xff" + b"\xce"
    link.receive(bad, delivery(2), method(1, spec.Basic.Ack, b"\x00"))
    # Then both are delivered, the bad one without properties and with the error
    assert link.wire.dispatch() and link.wire.dispatch()
    assert [parts[1] for parts in link.channel.seen] == [1, 2]
    assert link.channel.seen[0][5:7] == ({}, b"")
    assert isinstance(link.channel.seen[0][7], FrameSyntaxError)
    assert len(link.channel.seen[1]) == 7
    # (and a confirm that is cut short is an error, too)
    with pytest.raises(FrameSyntaxError, match="13"):
        link.wire.dispatch()


def test_a_channel_that_is_gone_does_not_disturb_the_others(link: Link) -> None:
    link.receive(delivery(1, channel=9), delivery(2))
    assert link.dispatch_all() == 2
    assert [parts[1] for parts in link.channel.seen] == [2]


def test_nothing_is_dispatched_on_a_closed_connection(link: Link) -> None:
    link.receive(delivery(1))
    link.connection.collect()
    with pytest.raises(RecoverableConnectionError):
        link.wire.dispatch()


# -- sending


def test_a_message_is_one_write_and_what_the_driver_would_send(link: Link) -> None:
    # Given what the driver writes for a message
    theirs = Peer()
    writer = amqp.connection.frame_writer(link.connection, theirs)
    message = amqp.Message(b"body", content_type="a/b", delivery_mode=2, application_headers={"k": "v"})
    arguments = dumps("Bssbb", [0, "exchange", "key", True, False])
    writer(1, 1, spec.Basic.Publish, arguments, message)
    # When the wire publishes it, and when it is used as the driver's frame writer
    link.wire.publish(1, "exchange", "key", True, False, message.properties, message.body)
    link.wire.write_frame(1, 1, spec.Basic.Publish, arguments, message)
    # Then the octets are the same, and each is one write
    assert link.peer.writes == theirs.writes * 2
    assert link.connection.bytes_sent == 3


def test_methods_and_heartbeats_are_the_drivers(link: Link) -> None:
    theirs = Peer()
    writer = amqp.connection.frame_writer(link.connection, theirs)
    for arguments in (
        (1, 3, spec.Queue.Purge, dumps("Bsb", [0, "queue", False]), None),
        (1, 0, spec.Connection.CloseOk, "", None),
        (8, 0, None, None, None),
    ):
        writer(*arguments)
        link.wire.write_frame(*arguments)
    assert link.peer.writes == theirs.writes


def test_many_messages_leave_in_few_writes(link: Link) -> None:
    # When hundreds of messages of 1 KB are published together
    link.wire.publish_many(1, (("x", f"k{n}", False, False, {}, b"x" * 1024) for n in range(600)))
    # Then they are all there, in order, in writes of limited size
    keys = [loads("Bss", payload, 4)[0][2] for kind, _, payload in link.peer.methods() if kind == 1]
    assert keys == [f"k{n}" for n in range(600)]
    assert 1 < len(link.peer.writes) < 10
    assert max(map(len, link.peer.writes)) < BATCH + 4096
    # And none is no write
    link.peer.writes.clear()
    link.wire.publish_many(1, [])
    assert link.peer.writes == []


def test_acknowledgements_leave_together_when_the_last_message_is_done(link: Link) -> None:
    # Given ten deliveries received together, and a consumer that acknowledges each
    link.channel.on_message = lambda tag: link.wire.ack(1, tag)
    link.receive(*(delivery(tag) for tag in range(1, 11)))
    # When all but the last are dispatched, Then nothing is written yet (the thread may have seen to it, if we are slow)
    started = time.monotonic()
    for _ in range(9):
        link.wire.dispatch()
    if time.monotonic() - started < HOLD_SECONDS / 2:
        assert link.peer.writes == []
    # When the last one is, Then they are all acknowledged, in order
    link.wire.dispatch()
    assert link.peer.acked() == list(range(1, 11))
    assert len(link.peer.writes) <= 2


def test_an_acknowledgement_is_written_at_once_when_nothing_waits(link: Link) -> None:
    link.channel.on_message = lambda tag: link.wire.ack(1, tag, True)
    link.receive(delivery(1))
    link.wire.dispatch()
    link.wire.reject(1, 2, True)
    link.wire.nack(1, 3, False, True)
    assert link.peer.writes == [
        method(1, spec.Basic.Ack, dumps("Lb", [1, True])),
        method(1, spec.Basic.Reject, dumps("Lb", [2, True])),
        method(1, spec.Basic.Nack, dumps("Lbb", [3, False, True])),
    ]


OTHER_WRITES = {
    "publish": lambda wire: wire.publish(1, "x", "k", False, False, {}, b""),
    "publish_many": lambda wire: wire.publish_many(1, [("x", "k", False, False, {}, b"")]),
    "method": lambda wire: wire.write_frame(1, 1, spec.Channel.CloseOk, "", None),
    "send": lambda wire: wire.send(method(1, spec.Channel.CloseOk)),
    "flush": lambda wire: wire.flush(),
}


@pytest.mark.parametrize("name", OTHER_WRITES)
def test_what_is_held_goes_before_anything_else(link: Link, name: str) -> None:
    # Given an acknowledgement that is held, since another message waits
    link.receive(delivery(1), delivery(2))
    link.wire.dispatch()
    link.wire.ack(1, 1)
    # When something else is written
    OTHER_WRITES[name](link.wire)
    # Then the acknowledgement came first
    first, *rest = link.peer.methods()
    assert first[2][:4] == b"\x00\x3c\x00\x50"
    assert bool(rest) == (name != "flush")


def test_an_acknowledgement_does_not_wait_for_a_slow_callback(link: Link) -> None:
    # Given a callback that acknowledges early and then works, while another message waits
    def early(tag: int) -> None:
        link.wire.ack(1, tag)
        started.set()
        assert link.peer.written.wait(10)  # Then the acknowledgement is written meanwhile

    started = threading.Event()
    link.channel.on_message = early
    for tag in (1, 3):  # (twice: the thread that does it does it again)
        link.peer.written.clear()
        link.receive(delivery(tag), delivery(tag + 1))
        link.wire.dispatch()
        link.channel.on_message = None
        link.wire.dispatch()
        link.channel.on_message = early
    assert link.peer.acked() == [1, 3]


def test_the_thread_that_sees_to_it_wakes_up_again(link: Link) -> None:
    link.receive(delivery(1), delivery(2))
    for tag in range(1, 3):
        # When an acknowledgement is held after it has gone to sleep, Then it is written nevertheless
        link.peer.written.clear()
        link.wire.ack(1, tag)
        assert link.peer.written.wait(10)
        time.sleep(50 * HOLD_SECONDS)  # (nothing tells that it sleeps: it does so after half of that)
    assert link.peer.acked() == [1, 2]


def test_no_more_than_some_are_held(link: Link) -> None:
    link.channel.on_message = lambda tag: link.wire.ack(1, tag)
    link.receive(*(delivery(tag) for tag in range(1, HOLD_MOST + 3)))
    for _ in range(HOLD_MOST + 1):
        link.wire.dispatch()
    assert len(link.peer.acked()) >= HOLD_MOST
    link.wire.dispatch()
    assert link.peer.acked() == list(range(1, HOLD_MOST + 3))


def test_acknowledgements_of_a_lost_connection_are_forgotten(link: Link) -> None:
    # Given one that is held
    link.receive(delivery(1), delivery(2))
    link.wire.dispatch()
    with link.peer.write_lock:  # (the thread that would write it has to wait)
        link.wire.ack(1, 1)
        # When the connection is given up
        link.wire.close()
    link.wire.flush()
    # Then it is not written to the next one
    assert link.peer.writes == []


def test_a_broken_connection_is_reported_to_who_writes_next() -> None:
    # Given one held acknowledgement on a connection that breaks; the thread behind has failed to write it
    link = Link()
    link.receive(delivery(1), delivery(2))
    link.wire.dispatch()
    link.peer.broken = True
    link.wire.ack(1, 1)
    # When the program goes on, Then it is told
    with pytest.raises(ConnectionResetError):
        link.wire.publish(1, "x", "k", False, False, {}, b"")


def test_a_connection_that_nobody_closed_still_acknowledges() -> None:
    # Given a program that drops its connection with an acknowledgement held
    link = Link()
    peer, wire = link.peer, weakref.ref(link.wire)
    link.receive(delivery(1), delivery(2))
    link.wire.dispatch()
    link.wire.ack(1, 1)
    # When the connection is collected, Then it was written, once
    del link
    gc.collect()
    assert peer.written.wait(10)
    assert peer.acked() == [1]
    # And no thread keeps the wire alive (one that is just looking at it lets go)
    deadline = time.monotonic() + 10
    while wire() is not None and time.monotonic() < deadline:
        gc.collect()
    assert wire() is None


def test_a_forked_child_does_not_write_the_parents_acknowledgements() -> None:
    # Given an acknowledgement that is held at the end of a process
    peer, held = Peer(), [method(1, spec.Basic.Ack, dumps("Lb", [1, False]))]
    # When the process is a child of the one that opened the connection, Then it writes nothing
    _flush_last(os.getppid(), held, peer.write_lock, peer.write)
    assert peer.writes == []
    # But the one that opened it does
    _flush_last(os.getpid(), held, peer.write_lock, peer.write)
    assert peer.acked() == [1]


def test_threads_that_settle_while_one_publishes_write_whole_frames_once(link: Link) -> None:
    # Given deliveries that wait, so that everything is held, and two threads that settle while one publishes
    link.receive(*(delivery(tag) for tag in range(1, 4)))

    def settle(first: int) -> None:
        for tag in range(first, first + 500):
            link.wire.ack(1, tag)

    threads = [threading.Thread(target=settle, args=(first,)) for first in (1000, 2000)]
    for thread in threads:
        thread.start()
    for _ in range(500):
        link.wire.publish(1, "x", "k", False, False, {}, b"body")
    for thread in threads:
        thread.join(60)
    link.wire.flush()
    # Then every frame is whole, every acknowledgement was written once, in each thread's order
    acked = link.peer.acked()
    assert sorted(acked) == [*range(1000, 1500), *range(2000, 2500)]
    assert [tag for tag in acked if tag < 2000] == list(range(1000, 1500))
    assert sum(kind == 3 for kind, _, _ in link.peer.methods()) == 500


BODIES = st.binary(max_size=300).filter(lambda body: b"\x3c" not in body)


@given(st.lists(st.tuples(BODIES, st.booleans()), max_size=12), st.integers(1, 64))
def test_what_one_wire_publishes_another_can_read(messages: list[tuple[bytes, bool]], piece: int) -> None:
    # Given messages published by one wire, with small frames
    link = Link()
    link.connection.frame_max = 64
    for body, several in messages:
        link.wire.publish(1, "x", "k", False, False, {"type": "t"} if several else {}, body)
    # When its octets are read in pieces (as deliveries: the method's number is changed)
    data = b"".join(link.peer.writes).replace(b"\x00\x3c\x00\x28", b"\x00\x3c\x00\x3c")
    parser = FrameParser(64)
    try:
        for start in range(0, len(data), piece):
            parser.feed(data[start : start + piece])
    except UnexpectedFrame as exc:  # pragma: no cover
        raise AssertionError(data) from exc
    # Then every body is whole
    assert [event[3] for event in parser.events] == [body for body, _ in messages]
