"""Whom a push wakes: one that sleeps, of those that are entered with the queue; else there is a token."""

from __future__ import annotations

import pytest

from kombu_redis.store import Limits
from tests.unit.kombu_redis.support_store import payload, shop_at


@pytest.fixture
def shop(redis_url):
    with shop_at(redis_url, global_keyprefix="p:") as made:
        yield made


class Crowd:
    """Connections that are entered with a queue, in their order."""

    def __init__(self, shop, client, queue="work"):
        self.keys, self.client, self.queue = shop.keys, client, queue
        self.lines = {}

    def enter(self, name, *, asleep=True, alive=True):
        idle = self.keys.idle(name)
        if alive:
            self.lines[name] = self.client.pubsub(ignore_subscribe_messages=True)
            self.lines[name].subscribe(idle)
            self.lines[name].get_message(timeout=5)
        if asleep:
            self.client.set(idle, "1", px=60000)
        self.client.rpush(self.keys.enlisted(self.queue), idle)

    def told(self):
        """Who was told of the queue; a message that is under way is waited for."""
        self.client.publish("all", "")
        found = []
        for name, line in self.lines.items():
            line.ping()
            while (message := line.get_message(timeout=5))["type"] != "pong":
                assert message["data"].decode() == self.keys.wake(self.queue)
                found.append(name)
        return found

    def entered(self):
        names = self.client.lrange(self.keys.enlisted(self.queue), 0, -1)
        return [name.decode().rpartition(".")[2] for name in names]

    def token(self):
        return self.client.llen(self.keys.wake(self.queue))

    def close(self):
        for line in self.lines.values():
            line.close()


@pytest.fixture
def crowd(shop, redis_client):
    made = Crowd(shop, redis_client)
    yield made
    made.close()


def plain(shop):
    shop.push(1)


def limited(shop):
    shop.store.push(shop.outlet("work", limits=Limits(max_length=9)), [payload(1)])


def passed_on(shop):
    shop.store.pass_on(shop.keys.wake("work"))


@pytest.mark.parametrize("push", [plain, limited, passed_on])
def test_the_first_that_sleeps_is_told(shop, crowd, push):
    # Given one that works, one that is gone, and two that sleep
    crowd.enter("works", asleep=False)
    crowd.enter("gone", alive=False)
    crowd.enter("first")
    crowd.enter("second")

    # When a message becomes ready, or somebody had no use for a token
    push(shop)

    # Then one that sleeps is told, and who works finds out when it has the time; nobody else is woken
    assert crowd.told() == ["works", "first"]
    assert crowd.entered() == ["second"]
    assert crowd.token() == 0

    # When there is more, then it is for the next one, and then a token is left, once
    push(shop)
    assert (crowd.told(), crowd.entered(), crowd.token()) == (["second"], [], 0)
    push(shop)
    push(shop)
    assert (crowd.told(), crowd.token()) == ([], 1)
    assert 0 < crowd.client.pttl(shop.keys.wake("work")) <= 60000


def test_when_all_are_at_work_there_is_a_token(shop, crowd):
    # Given, when
    crowd.enter("works", asleep=False)
    crowd.enter("works too", asleep=False)
    shop.push(1)

    # Then
    assert crowd.told() == ["works", "works too"]
    assert (crowd.entered(), crowd.token()) == ([], 1)


def test_who_was_told_does_not_sleep_any_more(shop, crowd, redis_client):
    # Given one connection that is entered with two queues
    crowd.enter("only")
    redis_client.rpush(shop.keys.enlisted("other"), shop.keys.idle("only"))

    # When it is told of one, then the other has a token for whoever waits in another way
    shop.push(1)
    assert (crowd.told(), crowd.token()) == (["only"], 0)
    shop.push(1, queue="other")
    assert redis_client.llen(shop.keys.wake("other")) == 1
