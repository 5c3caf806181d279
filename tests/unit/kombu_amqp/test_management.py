"""The management plugin, for real: Debian's package has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Exchange, Queue
from kombu.exceptions import AccessRefused, DeadlineExceeded, NotFound, OperationalError
from kombu.utils.deadline import deadline_scope
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.rabbit import RabbitMQ
from tests.support.rabbit_fixtures import require_rabbitmq

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def managed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A broker with the plugin, a virtual host ``a/b``, and a user of its own for the plugin."""
    require_rabbitmq()
    broker = RabbitMQ(tmp_path_factory.mktemp("managed"), management=True).start()
    broker.evaluate(
        'rabbit_vhost:add(<<"a/b">>, <<"t">>),'
        'rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"a/b">>, <<".*">>, <<".*">>, <<".*">>, <<"t">>),'
        'rabbit_auth_backend_internal:add_user(<<"operator">>, <<"hush-hush">>, <<"t">>),'
        'rabbit_auth_backend_internal:set_tags(<<"operator">>, [administrator], <<"t">>).'
    )
    yield broker
    broker.remove()


def connect(broker: RabbitMQ, vhost: str = "a%2Fb", **options: Any) -> Connection:
    options = {"manager_port": broker.management_port, **options}
    return Connection(f"amqp://guest:guest@127.0.0.1:{broker.port}/{vhost}", transport_options=options)


def test_get_bindings(managed: RabbitMQ) -> None:
    with connect(managed) as connection:
        # Given
        queue = Queue("managed", Exchange("managed", "topic"), routing_key="a.#")
        queue(connection.default_channel).declare()
        # When, Then: of the connection's virtual host
        bindings = connection.manager.get_bindings()
        assert ("managed", "managed", "a.#") in [(b["source"], b["destination"], b["routing_key"]) for b in bindings]
        assert connection.get_manager().get_bindings() == bindings
        assert [each["name"] for each in connection.get_manager().get_queues()] == ["managed"]
        assert "managed" in [each["name"] for each in connection.get_manager().get_exchanges()]
        # and of another one
        assert connection.get_manager().get_bindings("/") == []


def test_the_options_say_where_and_who(managed: RabbitMQ) -> None:
    options = {"manager_hostname": "127.0.0.1", "manager_userid": "operator", "manager_password": "hush-hush"}
    with connect(managed, **options) as connection:
        assert connection.get_manager().get("whoami")["name"] == "operator"
        # what is given goes first
        assert connection.get_manager(userid="guest", password="guest").get("whoami")["name"] == "guest"
    with connect(managed) as connection:
        connection.credential_provider = lambda: ("operator", "hush-hush")
        assert connection.get_manager().get("whoami")["name"] == "operator"


def test_what_goes_wrong_is_said_without_the_password(managed: RabbitMQ) -> None:
    with connect(managed, manager_userid="operator", manager_password="wrong-secret") as connection:
        with pytest.raises(AccessRefused, match="refuses 'operator'.*401.*manager_password") as refused:
            connection.manager.get_bindings()
        assert "wrong-secret" not in f"{refused.value}{refused.value!r}{connection.get_manager()!r}"
    with connect(managed, vhost="nowhere") as connection:
        with pytest.raises(NotFound, match="/api/bindings/nowhere"):
            connection.manager.get_bindings()
    with connect(managed, manager_port=free_port()) as connection:
        with pytest.raises(OperationalError, match="rabbitmq-plugins enable rabbitmq_management"):
            connection.manager.get_bindings()
    with connect(managed, manager_port=managed.port) as connection:
        with pytest.raises(OperationalError, match="does not answer"):
            connection.manager.get_bindings()


def test_the_deadline_in_force_holds(managed: RabbitMQ) -> None:
    with Proxy(("127.0.0.1", managed.management_port)) as proxy:
        proxy.fail("blackhole")
        with connect(managed, manager_port=proxy.port) as connection, deadline_scope(0.3):
            with pytest.raises(DeadlineExceeded):
                connection.manager.get_bindings()
