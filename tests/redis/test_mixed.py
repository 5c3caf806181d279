"""Kombu 5.7.0 and this one on one server: each reads what the other wrote, in processes of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.redis.wire import ready, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fleet import Fleet, Process
    from tests.support.redis_server import RedisServer


@pytest.fixture
def both(make_fleet: Callable[..., Fleet], redis_url: str, old_kombu: str) -> Callable[[str], Process]:
    """A function that starts a member, ``"old"`` or ``"new"``."""
    fleet = make_fleet(redis_url)

    def start(which: str, **options: Any) -> Process:
        return fleet.start(old_kombu if which == "old" else None, **options)

    return start


WAYS = pytest.mark.parametrize(("publishing", "consuming"), [("old", "new"), ("new", "old")])


@WAYS
@pytest.mark.parametrize(
    ("queue", "key"),
    [
        ({"name": "plain"}, "plain"),
        ({"name": "named", "exchange": "direct", "key": "k"}, "k"),
        ({"name": "topic", "exchange": "topics", "type": "topic", "key": "a.*.#"}, "a.b.c"),
    ],
    ids=["default", "direct", "topic"],
)
def test_work(
    both: Callable[..., Process], publishing: str, consuming: str, queue: dict[str, Any], key: str
) -> None:
    # Given
    consumer, publisher = both(consuming), both(publishing)
    consumer.consume(queue, prefetch=5)
    # When
    to = {"exchange": queue.get("exchange", ""), "type": queue.get("type", "direct"), "key": key}
    bodies = [0, "text", {"a": [1, None, "ü"]}, [], "x" * 70_000]
    publisher.ask("publish", bodies=bodies, **to, headers={"h": [1]}, expiration=60)
    publisher.ask("publish", bodies=["zipped" * 100], **to, compression="zlib")
    # Then
    assert consumer.wait_for("acked", 6) == [*bodies, "zipped" * 100]
    assert consumer.all("key") == [key] * 6


@WAYS
def test_whoever_declared_the_others_publish(
    both: Callable[..., Process], publishing: str, consuming: str
) -> None:
    """A binding made by one is seen by the other, also one made after its first publish."""
    # Given
    declarer, publisher = both(consuming), both(publishing)
    queues = [{"name": f"q{number}", "exchange": "x", "key": "k"} for number in range(3)]
    declarer.ask("declare", queues=queues[:1])
    publisher.ask("publish", bodies=[1], exchange="x", key="k")
    # When
    declarer.ask("declare", queues=queues[1:])
    publisher.ask("publish", bodies=[2], exchange="x", key="k")
    # Then
    declarer.consume(*queues)
    assert sorted(declarer.wait_for("got", 4)) == [1, 2, 2, 2]


@WAYS
def test_priority(both: Callable[..., Process], publishing: str, consuming: str) -> None:
    """The old steps: smaller numbers first."""
    consumer, publisher = both(consuming), both(publishing)
    publisher.ask("declare", queues=[{"name": "q"}])
    for priority in (9, 0, 5, 3, 0, 7):
        publisher.ask("publish", bodies=[priority], key="q", priority=priority)
    consumer.consume("q", prefetch=1)
    # (5 belongs to the step of 3, 7 to that of 6)
    assert consumer.wait_for("got", 6) == [0, 0, 5, 3, 7, 9]


@WAYS
def test_fanout(both: Callable[..., Process], publishing: str, consuming: str) -> None:
    """Without routing keys: kombu 5.7 takes them for patterns of channels."""
    listeners = [both(consuming), both(publishing)]
    publisher = both(publishing)
    for number, listener in enumerate(listeners):
        listener.consume({"name": f"inbox{number}", "exchange": "news", "type": "fanout", "key": ""})
    # (kombu 5.7 subscribes when it first waits, so it is told until it hears)
    until(lambda: tell_all(publisher, listeners), 30, "all have subscribed")
    for listener in listeners:
        publisher.ask("publish", bodies=["a", "b"], exchange="news", type="fanout")
        listener.wait(lambda: listener.all("got")[-2:] == ["a", "b"], "it hears both")  # noqa: B023


def tell_all(publisher: Process, listeners: list[Process]) -> bool:
    """Say hello; whether each has heard it."""
    publisher.ask("publish", bodies=["hello"], exchange="news", type="fanout")
    for listener in listeners:
        listener.read()
    return all(listener.all("got") for listener in listeners)


def test_an_old_broadcast_with_a_key_reaches_ours_without(both: Callable[..., Process]) -> None:
    """A fanout exchange knows no keys, as AMQP says."""
    listener = both("new").consume({"name": "inbox", "exchange": "news", "type": "fanout", "key": ""})
    both("old").ask("publish", bodies=["a"], exchange="news", type="fanout", key="any")
    assert listener.wait_for("got") == ["a"]


def test_they_share_the_work_of_one_queue(both: Callable[..., Process]) -> None:
    # Given
    consumers = [both(which).consume("shared", prefetch=3) for which in ("old", "new", "old", "new")]
    # When
    publishers = [both(which) for which in ("old", "new")]
    for round_ in range(5):
        for number, publisher in enumerate(publishers):
            first = round_ * 100 + number * 50
            publisher.ask("publish", bodies=list(range(first, first + 50)), key="shared")

    # Then: everything came once, and each had a part
    def arrived() -> list[Any]:
        for consumer in consumers:
            consumer.read()
        return [body for consumer in consumers for body in consumer.all("got")]

    until(lambda: len(arrived()) >= 500, 20, "all of it arrives")
    assert sorted(arrived()) == list(range(500))
    assert all(consumer.all("got") for consumer in consumers)


def test_the_old_take_over_what_ours_held(both: Callable[..., Process], redis_client: Any) -> None:
    # Given: ours holds three messages of a queue, and a second queue has the same binding
    queues = [{"name": name, "exchange": "x", "key": "k"} for name in ("held", "beside")]
    holder = both("new", lease=1, visibility_timeout=3600)
    holder.ask("declare", queues=queues)
    holder.ask("publish", bodies=[1, 2, 3], exchange="x", key="k")
    heir = both("old", visibility_timeout=3600).consume({"name": "held"})
    assert heir.wait_for("got", 3) == [1, 2, 3]
    holder.ask("publish", bodies=[4, 5, 6], exchange="x", key="k")
    heir.wait_for("got", 6)
    heir.kill()
    holder.consume(queues[1], then="hold", prefetch=3).wait_for("got", 3)
    # When
    holder.kill()
    old = both("old", visibility_timeout=3600).consume({"name": "beside"})
    # Then: though its own visibility timeout is an hour
    old.wait_for("got", 6)
    assert sorted(old.all("got")) == [1, 2, 3, 4, 5, 6]
    assert ready(redis_client, "held") == []


def test_ours_take_over_what_the_old_held(both: Callable[..., Process]) -> None:
    # Given: an old consumer does not renew, so it keeps what it has for the whole visibility timeout
    holder = both("old", visibility_timeout=3)
    holder.ask("publish", bodies=[1, 2, 3], key="q")
    heir = both("new", visibility_timeout=3, lease=1)
    holder.consume("q", then="hold", prefetch=3)
    taken = max(holder.wait_for("got", 3) and holder.all("at"))
    # When
    holder.kill()
    heir.consume("q")
    # Then
    assert heir.wait_for("got", 3) == [1, 2, 3]
    assert all(3 - 0.1 < at - taken < 3 + 10 for at in heir.all("at"))
    assert heir.all("redelivered") == [True] * 3


def test_a_living_old_consumer_is_left_alone_until_its_timeout(both: Callable[..., Process]) -> None:
    worker = both("old", visibility_timeout=6).consume("q", then="sleep", seconds=2.5, prefetch=1)
    other = both("new", visibility_timeout=6, lease=0.5).consume("q", prefetch=1)
    publisher = both("new")
    publisher.ask("publish", bodies=[1, 2, 3, 4, 5, 6], key="q")
    worker.wait_for("acked")
    other.read()
    assert not set(worker.all("acked")) & set(other.all("got"))


def test_the_old_leave_alone_what_ours_hold(both: Callable[..., Process]) -> None:
    """A renewed lease is none of the old one's business, though the visibility timeout is long over."""
    worker = both("new", visibility_timeout=3).consume("q", then="sleep", seconds=8)
    both("new").ask("publish", bodies=["task"], key="q")
    worker.wait_for("got")
    # (which looks for what is overdue after five seconds at the latest)
    other = both("old", visibility_timeout=3).consume("q")
    worker.wait_for("acked")
    other.read()
    assert other.all("got") == []


@WAYS
def test_control(both: Callable[..., Process], publishing: str, consuming: str) -> None:
    """A mailbox's broadcast reaches its nodes whichever kombu they run."""
    node, asker = both(consuming), both(publishing)
    node.tell("serve", name="one")
    node.wait_for("serving")

    def answered() -> bool:
        events = asker.ask("multi_call", method="ping")
        return any(event.get("answers") == [{"one": "pong"}] for event in events)

    until(answered, 30, "an answer")


def test_a_prefix_and_a_database_keep_fleets_apart(
    redis_server: RedisServer, redis_db: int, make_fleet: Callable[..., Fleet], old_kombu: str
) -> None:
    # Given
    url = redis_server.url_of(redis_db)
    ours = make_fleet(url, global_keyprefix="p:")
    consumer, other = ours.start().consume("q"), make_fleet(url).start().consume("q")
    news = {"name": "news", "exchange": "all", "type": "fanout", "key": ""}
    listener = ours.start().consume(news)
    # When
    publisher = ours.start(old_kombu)
    publisher.ask("publish", bodies=["work"], key="q")
    publisher.ask("publish", bodies=["news"], exchange="all", type="fanout", key="")
    # Then
    assert consumer.wait_for("got") == ["work"]
    assert listener.wait_for("got") == ["news"]
    other.read()
    assert other.all("got") == []
