"""How a transport is found, and what is said when it is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import kombu.transport
from kombu import Connection
from kombu.exceptions import KombuError, TransportNotFound
from kombu.transport import TRANSPORT_ALIASES, get_transport_cls, resolve_transport, supports_librabbitmq

from .tinybroker import TinyTransport

TINY = f"{TinyTransport.__module__}:TinyTransport"


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """Installs distributions for one test: ``distribution(name, {scheme: "module:Class"}, module=source)``."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(name, transports, **modules):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{scheme} = {target}" for scheme, target in transports.items()]
        (info / "entry_points.txt").write_text("\n".join(["[kombu.transports]", *lines]))
        for module, source in modules.items():
            (tmp_path / f"{module}.py").write_text(source)
            monkeypatch.delitem(sys.modules, module, raising=False)
        kombu.transport._installed().reset()

    yield install
    monkeypatch.undo()
    kombu.transport._installed().reset()


@pytest.fixture
def core_alone(monkeypatch):
    """No installed distribution is seen, so nobody provides a transport."""
    bare = [path for path in sys.path if not [*Path(path).glob("*.dist-info"), *Path(path).glob("*.egg-info")]]
    monkeypatch.setattr(sys, "path", bare)
    kombu.transport._installed().reset()
    yield
    monkeypatch.undo()
    kombu.transport._installed().reset()


@pytest.fixture
def aliases():
    before = dict(TRANSPORT_ALIASES)
    yield TRANSPORT_ALIASES
    TRANSPORT_ALIASES.clear()
    TRANSPORT_ALIASES.update(before)


@pytest.mark.parametrize("way", [TinyTransport, TINY, TINY.replace(":", "."), lambda: TinyTransport])
def test_a_class_a_path_and_a_function(way):
    assert get_transport_cls(way) is resolve_transport(way) is TinyTransport
    assert Connection("h", transport=way).get_transport_cls() is TinyTransport


def test_nothing_is_nothing_and_librabbitmq_is_gone():
    assert resolve_transport(None) is get_transport_cls() is None
    assert supports_librabbitmq() is None


def test_an_installed_entry_point(distribution):
    # Given a stranger's distribution
    distribution("stranger", {"strange": "stranger_mq:Transport"}, stranger_mq="class Transport: pass")

    # Then its scheme is known like our own
    assert get_transport_cls("strange").__module__ == "stranger_mq"
    assert get_transport_cls("memory").__module__.startswith("kombu_memory")


def test_an_alias_goes_before_an_entry_point(distribution, aliases):
    distribution("stranger", {"strange": "stranger_mq:Transport"})

    aliases["strange"] = TINY
    assert Connection("strange://h").get_transport_cls() is TinyTransport
    aliases["strange"] = "other"
    aliases["other"] = TinyTransport
    assert Connection("strange://h").get_transport_cls() is TinyTransport


@pytest.mark.parametrize(
    "scheme, distribution_name",
    [
        *dict.fromkeys(
            ("redis", "rediss", "sentinel", "valkey", "valkeys", "redis+cluster", "rediss+cluster"), "kombu-redis"
        ).items(),
        *dict.fromkeys(("amqp", "amqps", "pyamqp"), "kombu-amqp").items(),
        *dict.fromkeys(("sqs", "SQS"), "kombu-sqs").items(),
    ],
)
def test_a_known_transport_that_is_missing_says_what_to_install(scheme, distribution_name, core_alone):
    with pytest.raises(
        TransportNotFound, match=f"'{scheme.replace('+', '.')}'.*pip install {distribution_name}$"
    ):
        get_transport_cls(scheme)
    # A connection can be made, shown and copied without it; using it tells.
    connection = Connection(f"{scheme}://u:sesame@h/v").clone()
    assert "sesame" not in repr(connection)
    with pytest.raises(TransportNotFound, match=f"pip install {distribution_name}"):
        connection.connect()
    with pytest.raises(KeyError):
        _ = connection.default_channel


def test_redis_over_a_unix_socket_is_redis(core_alone):
    with pytest.raises(TransportNotFound, match="pip install kombu-redis"):
        Connection("redis+socket:///tmp/x").connect()


@pytest.mark.parametrize("scheme, near", [("memroy", "memory"), ("ampq", "amqp"), ("redi", "redis")])
def test_a_misspelt_scheme_gets_the_near_one(scheme, near):
    with pytest.raises(TransportNotFound, match=f"no such transport: '{scheme}'. Did you mean .*{near}"):
        get_transport_cls(scheme)


def test_an_unknown_scheme_says_where_schemes_come_from():
    with pytest.raises(TransportNotFound, match=r"'zzz'.*kombu\.transports.*TRANSPORT_ALIASES.*transport="):
        get_transport_cls("zzz")


def test_a_scheme_of_kombu_5_is_not_taken_for_a_misspelt_one(distribution):
    with pytest.raises(TransportNotFound, match="'mongodb', which kombu 5 had, is not in kombu 6"):
        Connection("mongodb://h").connect()
    # until somebody ships it
    distribution("stranger", {"mongodb": "stranger_db:Transport"}, stranger_db="class Transport: pass")
    assert get_transport_cls("mongodb").__module__ == "stranger_db"


def test_two_distributions_with_one_scheme_are_both_named(distribution):
    distribution("first-mq", {"strange": "first_mq:Transport"})
    distribution("second-mq", {"strange": "second_mq:Transport"})

    with pytest.raises(KombuError, match=r"'strange'.*first-mq and second-mq"):
        get_transport_cls("strange")


def test_a_plugin_that_fails_to_import_tells_its_own_error(distribution):
    # Given a plugin that needs a driver which is not there
    distribution("broken-mq", {"broken": "broken_mq:Transport"}, broken_mq="import no_such_driver")

    # When it is used
    with pytest.raises(KombuError, match="broken-mq") as caught:
        Connection("broken://h").connect()

    # Then the reason is told, not "no such transport"
    assert not isinstance(caught.value, TransportNotFound)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    assert caught.value.__cause__.name == "no_such_driver"
    assert "broken://h" in repr(Connection("broken://h"))


def test_an_entry_point_that_is_no_class_is_named_with_its_distribution(distribution):
    distribution("odd-mq", {"odd": "odd_mq:Transport"}, odd_mq="Transport = 3")

    with pytest.raises(TransportNotFound, match="'odd', as distribution odd-mq .* but int"):
        Connection("odd://h").connect()


def test_a_path_that_leads_to_no_class():
    with pytest.raises(TransportNotFound, match=r"'kombu\.transport\.base' is not a transport class"):
        get_transport_cls("kombu.transport.base")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        get_transport_cls("no_such_module.x:Transport")


def test_the_historic_path_is_the_plugin_itself():
    import kombu.transport.memory
    import kombu_memory

    assert sys.modules["kombu.transport.memory"] is kombu.transport.memory is kombu_memory
    assert get_transport_cls("kombu.transport.memory:Transport") is kombu_memory.Transport


@pytest.mark.parametrize(
    "module, target, name",
    [
        ("kombu.transport.redis", "kombu_redis", "kombu-redis"),
        ("kombu.transport.pyamqp", "kombu_amqp", "kombu-amqp"),
        ("kombu.transport.SQS", "kombu_sqs", "kombu-sqs"),
        ("kombu.transport.memory", "kombu_memory", "kombu-memory"),
    ],
)
def test_a_historic_path_without_its_distribution_says_what_to_install(module, target, name):
    # Given an interpreter where the plugin cannot be imported
    code = f"import sys; sys.modules[{target!r}] = None; import {module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (
        done.stderr.splitlines()[-1] == f"ModuleNotFoundError: {module} ships separately: pip install {name}"
    )


def test_an_error_inside_the_plugin_is_not_taken_for_its_absence(tmp_path, monkeypatch):
    (tmp_path / "half_there.py").write_text("import no_such_driver")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModuleNotFoundError, match="no_such_driver"):
        kombu.transport.alias_module("kombu.transport.half", "half_there", "half-there")


def test_making_a_connection_imports_no_transport_and_reads_no_metadata():
    code = (
        "import sys; from kombu import Connection; Connection('memory://a;memory://b').clone();"
        "print([m for m in sys.modules if m.startswith(('kombu_', 'importlib_metadata', 'importlib.metadata'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
