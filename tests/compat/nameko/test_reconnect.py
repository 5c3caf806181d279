"""Nameko services when their connections are cut, and when RabbitMQ is killed and starts again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.compat.nameko.test_services import call, ready

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.compat.nameko.conftest import Services
    from tests.support.fleet import Process
    from tests.support.proxy import Proxy
    from tests.support.rabbit import RabbitMQ

#: Seconds in which all must have found the broker again.
LONG = 90


def test_connections_are_cut_in_the_middle(
    run: Callable[..., Services], client_of: Callable[[str], Process], proxy: Proxy, amqp_url: str
) -> None:
    # Given: services in the middle of some messages
    services, client = run(proxy.url), client_of(amqp_url)
    ready(services, client)
    call(services, client, "send", [{"number": number, "takes": 0.3} for number in range(30)], "careful")
    for after, fault in ((5, "rst"), (15, "fin")):
        services.wait_for("took", after)
        # When
        proxy.fail(fault)
    # Then: each message is done (those whose acknowledgement was lost twice), and the services answer and publish
    services.wait(lambda: set(services.all("took")) == set(range(30)), "all messages are done", LONG)
    assert call(services, client, "add", 1, 2) == {"answer": 3}
    assert "answer" in call(services, client, "send", [{"number": 99}], "careful")
    services.wait(lambda: 99 in services.all("took"), "one more is done")


@pytest.mark.clients
def test_the_broker_is_killed(
    run: Callable[..., Services], client_of: Callable[[str], Process], victim: RabbitMQ
) -> None:
    # Given: services that have done something of each kind, and more to do
    services, client = run(victim.url), client_of(victim.url)
    ready(services, client)
    call(services, client, "announce", {"before": True})
    call(services, client, "send", [{"number": number, "takes": 0.3} for number in range(50)], "careful")
    services.wait_for("took", 5)
    # When
    victim.stop()
    victim.start()
    # Then: messages in queues that survive are not lost, and all works again
    services.wait(lambda: set(services.all("took")) == set(range(50)), "all messages are done", LONG)
    services.wait(lambda: "answer" in call(services, client, "ask_behind"), "they answer", LONG)
    call(services, client, "announce", {"after": True})
    for kind in ("heard", "overheard"):
        services.wait(lambda kind=kind: {"after": True} in services.all(kind), "events are heard")
