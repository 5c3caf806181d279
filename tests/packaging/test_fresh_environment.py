"""The distributions in an environment that has nothing else, from wheels and as editable installs."""

from __future__ import annotations

import json
from typing import Any

#: Publishes, receives and settles one message on the broker of a URL.
ROUND_TRIP = """
import sys
from kombu import Connection, Consumer, Exchange, Producer, Queue

queue = Queue("greetings", Exchange("greetings", "topic"), routing_key="hello.#")
received = []

def receive(body, message):
    received.append(body)
    message.ack()

with Connection("memory://") as connection:
    with connection.channel() as channel:
        Producer(channel).publish(
            {"hello": "world"}, exchange=queue.exchange, routing_key="hello.world", declare=[queue]
        )
        with Consumer(channel, [queue], callbacks=[receive]):
            connection.drain_events(timeout=5)
assert received == [{"hello": "world"}], received
"""

#: Entry points as installed, and each loaded.
ENTRY_POINTS = """
from importlib.metadata import entry_points

for entry in entry_points(group="kombu.transports"):
    print(entry.name, entry.load().__module__.split(".")[0])
"""

#: Stores a result of a task, and gets it.
RESULT = """
from celery import Celery

app = Celery("fresh", broker="memory://", backend="amqp://")
app.backend.store_result("a-1", {"x": 1}, "SUCCESS")
assert app.AsyncResult("a-1").get(timeout=10) == {"x": 1}
"""

API = "from kombu import Connection, Exchange, Queue, Producer, Consumer\n"


def test_a_message_goes_through_memory_with_only_core_and_memory(with_memory: Any) -> None:
    with_memory.check(ROUND_TRIP)


def test_the_umbrella_brings_what_a_message_needs(make_environment: Any) -> None:
    make_environment("kombu").check(ROUND_TRIP)


def test_entry_points_resolve(with_memory: Any) -> None:
    assert with_memory.check(ENTRY_POINTS).splitlines() == ["memory kombu_memory"]


def test_celery_finds_the_result_backend_and_runs_on_this_kombu(make_environment: Any) -> None:
    environment = make_environment("kombu-celery-amqp")
    environment.check(RESULT)
    versions = "from importlib.metadata import version; print(version('kombu'), version('celery').split('.')[0])"
    assert environment.check(versions) == "6.0.0 5"


def test_core_offers_no_transport_by_itself(core_alone: Any) -> None:
    assert core_alone.check(ENTRY_POINTS) == ""


def test_without_the_transport_the_error_says_what_to_install(core_alone: Any) -> None:
    error = core_alone.error_of(f"{API}Connection('memory://').connect()")
    assert error.startswith("kombu.exceptions.TransportNotFound")
    assert "pip install kombu-memory" in error


def test_the_historic_module_is_the_plugin_itself(with_memory: Any) -> None:
    with_memory.check(
        "import sys, kombu.transport.memory, kombu_memory\n"
        "assert sys.modules['kombu.transport.memory'] is sys.modules['kombu_memory']\n"
        "assert kombu.transport.memory is kombu_memory\n"
        "from kombu.transport.memory import Channel, Transport\n"
        "assert Transport is kombu_memory.Transport\n"
    )


def test_without_the_plugin_the_historic_module_says_what_to_install(core_alone: Any) -> None:
    error = core_alone.error_of("import kombu.transport.memory")
    assert error == ("ModuleNotFoundError: kombu.transport.memory ships separately: pip install kombu-memory")


def test_each_historic_module_of_a_transport_names_its_distribution(core_alone: Any) -> None:
    for module, distribution in {"redis": "kombu-redis", "pyamqp": "kombu-amqp", "SQS": "kombu-sqs"}.items():
        error = core_alone.error_of(f"import kombu.transport.{module}")
        assert error.startswith("ModuleNotFoundError: kombu.transport.")
        assert error.endswith(f"ships separately: pip install {distribution}")


def test_importing_the_api_brings_no_driver_no_yaml_and_no_tls(with_memory: Any) -> None:
    loaded = json.loads(with_memory.check(f"{API}import json, sys; print(json.dumps(sorted(sys.modules)))"))
    heavy = {"yaml", "ssl", "msgpack", "redis", "amqp", "boto3", "importlib_metadata", "importlib.metadata"}
    heavy |= {
        "asyncio",
        "multiprocessing",
        "email",
        "http",
        "dataclasses",
        "inspect",
        "uuid",
        "decimal",
        "datetime",
    }
    assert heavy.isdisjoint(loaded), sorted(heavy.intersection(loaded))
    assert not [name for name in loaded if name.startswith(("kombu_", "kombu.transport.virtual"))]


def test_the_version_is_the_distributions(with_memory: Any) -> None:
    with_memory.check(
        "import kombu\n"
        "from importlib.metadata import version\n"
        "assert kombu.__version__ == version('kombu-core') == version('kombu-memory') == '6.0.0'\n"
        "assert tuple(kombu.VERSION) == (6, 0, 0, '', '')\n"
        "assert kombu.VERSION.major == 6 and kombu.VERSION.serial == ''\n"
    )


def test_every_name_of_the_api_resolves(with_memory: Any) -> None:
    with_memory.check("import kombu\nfor name in kombu.__all__: getattr(kombu, name)")


def test_every_module_imports(with_memory: Any) -> None:
    # Given no optional library at all, when each module is imported, then only historic transports may be
    # missing, and the suite, which needs pytest.
    with_memory.check(
        "import importlib, pkgutil, kombu, kombu_memory\n"
        "for package in (kombu, kombu_memory):\n"
        "    for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.', onerror=str):\n"
        "        if found.name.startswith('kombu.testing'): continue\n"
        "        try: importlib.import_module(found.name)\n"
        "        except ModuleNotFoundError as error:\n"
        "            if 'ships separately: pip install kombu-' not in str(error): raise\n"
    )
