"""What is told once and then now and again."""

from __future__ import annotations

from kombu import Connection, Exchange
from kombu.transport.virtual.notices import Notices


def test_at_once_then_with_a_count_when_the_time_is_over():
    notices = Notices(interval=60)
    assert [notices.count("a", now) for now in (0, 1, 59.9)] == [1, 0, 0]
    assert notices.count("b", 2) == 1, "another subject is news"
    assert [notices.count("a", now) for now in (60, 61, 130)] == [3, 0, 2]


def test_only_so_many_are_remembered():
    notices = Notices(most=2)
    assert [notices.count(subject, 0) for subject in "abcab"] == [1, 1, 1, 1, 1]
    assert notices.count("b", 1) == 0


def test_messages_that_match_no_queue_are_told_once_for_each_key(caplog):
    with Connection("memory://notices") as connection:
        events = connection.Producer(exchange=Exchange("events", "topic"))
        for _ in range(50):
            events.publish({}, routing_key="worker.heartbeat")
            events.publish({}, routing_key="task.sent")
        # (another channel of the same connection says no more)
        connection.Producer(connection.channel(), Exchange("events", "topic")).publish({}, "task.sent")
    told = [record.getMessage() for record in caplog.records if "matched no queue" in record.getMessage()]
    assert len(told) == 2
    assert {"worker.heartbeat", "task.sent"} == {text.split("routing key ")[1].split("'")[1] for text in told}
