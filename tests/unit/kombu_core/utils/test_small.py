"""The small modules of kombu.utils. What is expected was observed on kombu 5.7 except where a test says otherwise."""

from __future__ import annotations

import gc
import io
import logging
import os
import pickle
import subprocess
import sys
import types
import uuid as standard_uuid
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kombu.utils
from kombu.utils import amq_manager, compat, encoding
from kombu.utils.collections import EqualityDict, HashedSeq, eqhash
from kombu.utils.debug import Logwrapped, setup_logging
from kombu.utils.div import emergency_dump_state
from kombu.utils.imports import symbol_by_name
from kombu.utils.limits import TokenBucket
from kombu.utils.objects import cached_property
from kombu.utils.scheduling import FairCycle, cycle_by_name, priority_cycle, round_robin_cycle, sorted_cycle
from kombu.utils.text import escape_regex, fmatch_best, fmatch_iter, version_string_as_tuple
from kombu.utils.time import maybe_s_to_ms


class TestUtils:
    def test_every_name_is_there(self):
        for name in kombu.utils.__all__:
            assert getattr(kombu.utils, name) is not None
            assert name in dir(kombu.utils)
        with pytest.raises(AttributeError, match="nope"):
            _ = kombu.utils.nope

    def test_uuid_is_the_function_in_any_order_of_imports(self):
        program = (
            "import kombu.utils.uuid\n"
            "from kombu.utils import uuid\n"
            "import kombu.utils\n"
            "assert callable(uuid) and uuid is kombu.utils.uuid\n"
        )
        subprocess.run([sys.executable, "-c", program], check=True)

    def test_submodules_are_attributes(self):
        program = "import kombu.utils; kombu.utils.json.dumps(1); kombu.utils.functional.lazy; kombu.utils.url.as_url"
        subprocess.run([sys.executable, "-c", program], check=True)


class TestUuid:
    def test_is_a_random_uuid(self):
        for _ in range(200):
            text = kombu.utils.uuid()
            assert str(standard_uuid.UUID(text)) == text
            assert standard_uuid.UUID(text).version == 4
            assert standard_uuid.UUID(text).variant == standard_uuid.RFC_4122

    def test_all_bits_but_six_are_random(self):
        ids = [standard_uuid.UUID(kombu.utils.uuid()).int for _ in range(500)]
        ever, always = 0, ~0
        for number in ids:
            ever, always = ever | number, always & number
        assert bin(ever & ~always & (2**128 - 1)).count("1") == 122
        assert len(set(ids)) == 500

    def test_another_maker(self):
        assert kombu.utils.uuid(lambda: standard_uuid.UUID(int=1)) == "00000000-0000-0000-0000-000000000001"

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_a_forked_child_makes_others(self):
        program = (
            "import os; from kombu.utils.uuid import uuid; uuid()\n"
            "pid = os.fork()\n"
            "os.write(1, (uuid() + '\\n').encode())\n"
            "if pid: os.waitpid(pid, 0)\n"
        )
        out = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout
        assert len(set(out.split())) == 2


class TestEncoding:
    @given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
    def test_there_and_back(self, text):
        assert encoding.bytes_to_str(encoding.str_to_bytes(text)) == text
        assert encoding.ensure_bytes(text) == text.encode()

    def test_other_things_pass(self):
        for convert in (
            encoding.str_to_bytes,
            encoding.bytes_to_str,
            encoding.ensure_bytes,
            encoding.from_utf8,
        ):
            assert convert(5) == 5
            assert convert(None) is None
        assert encoding.default_encode("x") == "x"
        assert encoding.bytes_to_str(b"\xff") == "\ufffd"

    def test_safe_text(self):
        class Bad:
            def __repr__(self):
                raise ValueError("boom")

        class Worse(Bad):
            def __repr__(self):
                raise Bad2()

        class Bad2(Exception):
            def __repr__(self):
                raise ValueError("again")

        assert encoding.safe_str("é") == "é"
        assert encoding.safe_str(b"\xff\xc3") == "\ufffd\ufffd"
        assert encoding.safe_str(5) == "5"
        assert encoding.safe_repr(b"x") == "b'x'"
        assert "Unrepresentable" in encoding.safe_str(Bad()) and "boom" in encoding.safe_repr(Bad())
        assert "Bad2" in encoding.safe_repr(Worse())

    def test_the_default_file(self):
        latin = types.SimpleNamespace(encoding="latin-1")
        encoding.set_default_encoding_file(latin)
        try:
            assert encoding.get_default_encoding_file() is latin
            assert encoding.default_encoding() == "latin-1"
            assert encoding.safe_str(b"\xe9") == "é"
        finally:
            encoding.set_default_encoding_file(None)
        assert encoding.default_encoding() == sys.getfilesystemencoding()


class TestSymbolByName:
    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("os.path:join", {}),
            ("os.path.join", {}),
            ("x", {"aliases": {"x": "os.path:join"}}),
            ("x", {"aliases": {"x": os.path.join}}),
            (os.path.join, {}),
            (".path:join", {"package": "os"}),
            ("nope.nope:x", {"default": os.path.join}),
            ("os:nope", {"default": os.path.join}),
        ],
    )
    def test_found(self, name, options):
        if options.get("package") == "os":
            name, options = ".utils.imports:symbol_by_name", {"package": "kombu"}
            assert symbol_by_name(name, **options) is symbol_by_name
        else:
            assert symbol_by_name(name, **options) is os.path.join

    def test_modules(self):
        assert symbol_by_name("os") is os
        assert symbol_by_name("os.path:") is os.path
        assert symbol_by_name("", package="os") is os

    @pytest.mark.parametrize(
        ("name", "error"), [("nope", ImportError), ("nope.x:Y", ImportError), ("os:x", AttributeError)]
    )
    def test_not_found(self, name, error):
        with pytest.raises(error):
            symbol_by_name(name)

    def test_another_importer(self):
        seen = []
        found = symbol_by_name(
            "a:path", imp=lambda *args, **kwargs: seen.append((args, kwargs)) or os, extra=1
        )
        assert found is os.path
        assert seen == [(("a",), {"package": None, "extra": 1})]

    def test_value_errors_name_the_module(self):
        def broken(name, package=None):
            raise ValueError("inside")

        with pytest.raises(ValueError, match="cannot import 'a:b'.*inside"):
            symbol_by_name("a:b", imp=broken)


class TestCachedProperty:
    class Thing:
        def __init__(self):
            self.log = []

        @cached_property
        def plain(self):
            self.log.append("get")
            return len(self.log)

        @cached_property
        def full(self):
            return "made"

        @full.setter
        def full(self, value):
            return f"set {value}"

        @full.deleter
        def full(self, value):
            self.log.append(value)

    def test_is_worked_out_once(self):
        thing = self.Thing()
        assert (thing.plain, thing.plain, thing.log) == (1, 1, ["get"])
        assert thing.__dict__["plain"] == 1
        thing.plain = 5
        assert thing.plain == 5
        del thing.plain
        assert thing.plain == 2
        assert isinstance(self.Thing.plain, cached_property)

    def test_setter_and_deleter(self):
        thing = self.Thing()
        assert thing.full == "made"
        thing.full = "x"
        assert thing.full == "set x"
        del thing.full
        assert thing.log == ["set x"]
        del thing.full
        assert thing.log == ["set x"]

    def test_without_a_getter_that_has_run(self):
        thing = self.Thing()
        thing.full = 1
        assert thing.full == "set 1"

    def test_slow_getters_of_two_objects_do_not_wait_for_each_other(self):  # 5.7 holds a lock for all of them
        import threading

        first, second = threading.Event(), threading.Event()

        class Slow:
            @cached_property
            def value(self):
                mine, other = (first, second) if self.name == "first" else (second, first)
                mine.set()
                return other.wait(10)

        things = []
        for name in ("first", "second"):
            thing = Slow()
            thing.name = name
            things.append(thing)
        thread = threading.Thread(target=lambda: things[0].value)
        thread.start()
        assert things[1].value is True
        thread.join(60)
        assert things[0].value is True


class TestCollections:
    class Key:
        def __init__(self, value):
            self.value = value

        def __eqhash__(self):
            return self.value

    def test_equality_dict(self):
        d = EqualityDict()
        d[self.Key(1)] = "a"
        d["k"] = "b"
        assert d[self.Key(1)] == "a" and d["k"] == "b"
        assert self.Key(1) in d and self.Key(2) not in d  # 5.7 finds neither
        assert d.get(self.Key(1)) == "a" and d.get("no", 5) == 5
        del d[self.Key(1)]
        with pytest.raises(KeyError):
            d[self.Key(1)]
        with pytest.raises(KeyError):
            del d[self.Key(1)]

    def test_eqhash_and_hashed_seq(self):
        assert eqhash(self.Key("x")) == "x"
        assert eqhash(5) == 5
        assert HashedSeq(1, 2) == [1, 2]
        assert hash(HashedSeq(1, 2)) == hash((1, 2)) == HashedSeq(1, 2).hashvalue


class TestCompat:
    def test_environment(self):
        assert compat.detect_environment() == compat._detect_environment() == "default"
        assert compat.get_gevent_concurrent_error() is None

    def test_file_numbers(self):
        with open(os.devnull) as f:
            assert compat.maybe_fileno(f) == compat.fileno(f) == f.fileno()
        assert compat.maybe_fileno(f) is None
        assert compat.maybe_fileno(5) == 5
        assert compat.maybe_fileno(None) is None
        assert compat.maybe_fileno(io.BytesIO()) is None
        with pytest.raises(AttributeError):
            compat.fileno("x")

    def test_coro_is_started(self):
        got = []

        @compat.coro
        def receive():
            while True:
                got.append((yield))

        receive().send(5)
        assert got == [5]

    def test_nested(self):
        log = []

        class Manager:
            def __init__(self, name):
                self.name = name

            def __enter__(self):
                log.append(f"enter {self.name}")
                return self.name

            def __exit__(self, *exc_info):
                log.append(f"exit {self.name}")

        with pytest.raises(RuntimeError), compat.nested(Manager("a"), Manager("b")) as names:
            assert names == ["a", "b"]
            raise RuntimeError
        assert log == ["enter a", "enter b", "exit b", "exit a"]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_register_after_fork(self):
        # Given: two objects, one of which is gone at the time of the fork, and a callback that fails.
        program = (
            "import os, gc, logging\n"
            "logging.lastResort = None\n"
            "from kombu.utils.compat import register_after_fork\n"
            "class Pool: pass\n"
            "a, b, c = Pool(), Pool(), Pool()\n"
            "def note(obj): print('called', obj.name, flush=True)\n"
            "def broken(obj): raise RuntimeError\n"
            "a.name, b.name, c.name = 'abc'\n"
            "register_after_fork(c, note); register_after_fork(a, broken); register_after_fork(a, note)\n"
            "register_after_fork(b, note)\n"
            "del b; gc.collect()\n"
            "pid = os.fork()\n"
            "if pid: os.waitpid(pid, 0)\n"
        )
        # When
        out = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout
        # Then: only in the child, in order, and the failure stopped nothing.
        assert out.split("\n") == ["called c", "called a", ""]

    def test_register_after_fork_holds_weakly(self):
        class Pool:
            pass

        compat.register_after_fork(Pool(), print)
        gc.collect()
        assert not any(isinstance(obj, Pool) for obj in compat._after_fork.values())


class TestScheduling:
    def test_fair_cycle_takes_turns(self):
        # Given
        def get(resource, callback, **kwargs):
            if not resource:
                raise IndexError
            return callback(resource.pop(0), **kwargs)

        a, b, c = [1, 2], [], [3]
        cycle = FairCycle(get, [a, b, c], IndexError)
        # Then
        assert [cycle.get(lambda item, x: item + x, x=0) for _ in range(3)] == [1, 3, 2]
        with pytest.raises(IndexError):
            cycle.get(lambda item: item)
        b.append(4)
        assert cycle.get(lambda item: item) == 4
        assert "FairCycle" in repr(cycle)
        cycle.close()

    def test_resources_come_and_go(self):
        resources = ["a", "b"]
        cycle = FairCycle(lambda resource, callback: resource, resources, KeyError)
        assert cycle.get(None) == "a"
        resources.remove("a")
        assert cycle.get(None) == "b"
        resources.clear()
        with pytest.raises(KeyError):
            cycle.get(None)

    def test_every_resource_is_asked_once_each_time(self):
        asked = []

        def get(resource, callback):
            asked.append(resource)
            raise IndexError

        cycle = FairCycle(get, ["a", "b", "c"], IndexError)
        for _ in range(2):
            with pytest.raises(IndexError):
                cycle.get(None)
        assert sorted(asked) == ["a", "a", "b", "b", "c", "c"]

    def test_cycles(self):
        turns = round_robin_cycle("abc")
        assert turns.consume(2) == ["a", "b"]
        assert turns.rotate("a") == "a"
        assert turns.consume(5) == ["b", "c", "a"]
        assert turns.rotate("nobody") == "nobody"
        turns.update("z")
        assert turns.consume(5) == ["z"]
        fixed = priority_cycle([2, 1])
        fixed.rotate(2)
        assert fixed.consume(5) == [2, 1]
        assert sorted_cycle([3, 1, 2]).consume(2) == [1, 3]
        assert round_robin_cycle().consume(1) == []

    def test_by_name(self):
        assert cycle_by_name("round_robin") is round_robin_cycle
        assert cycle_by_name("priority") is priority_cycle
        assert cycle_by_name("sorted") is sorted_cycle
        assert cycle_by_name("kombu.utils.scheduling:priority_cycle") is priority_cycle


class TestTokenBucket:
    def test_takes_all_or_nothing(self):
        bucket = TokenBucket(fill_rate=1e-9, capacity=3)
        assert bucket.can_consume(2)
        assert not bucket.can_consume(2)
        assert bucket.can_consume(1)
        assert not bucket.can_consume()

    def test_fills_with_time(self):
        bucket = TokenBucket(fill_rate=10, capacity=2)
        assert bucket.can_consume(2)
        assert 0.08 < bucket.expected_time() <= 0.1
        bucket.timestamp -= 0.1  # as if a tenth of a second had passed
        assert bucket.can_consume()
        bucket.timestamp -= 1000
        assert bucket.expected_time(2) == 0
        assert bucket.expected_time(3) > 0

    def test_keeps_what_waits(self):
        bucket = TokenBucket(1)
        bucket.add(3)
        bucket.add(4)
        assert bucket.pop() == 3
        bucket.clear_pending()
        with pytest.raises(IndexError):
            bucket.pop()


class TestText:
    def test_escape_regex(self):
        assert escape_regex("a.b*#", white="#") == r"a\.b\*#"

    def test_fuzzy(self):
        assert [key for _, key in fmatch_iter("amqp", ["amq", "amqps", "x"])] == ["amq", "amqps"]
        assert fmatch_best("amqp", ["amq", "amqps", "x"]) == "amqps"
        assert fmatch_best("amqp", ["zz"]) is None

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("1", (1, 0, 0, "", "")),
            ("1.2", (1, 2, 0, "", "")),
            ("1.2.3", (1, 2, 3, "", "")),
            ("1.2.3rc1", (1, 2, 3, "rc1", "")),
            ("3.3.1.4", (3, 3, 1, "4", "")),
            ("2.0.0-rc1", (2, 0, 0, "", "rc1")),
            ("1.2.3.4.5", (1, 2, 3, "4", "5")),
        ],
    )
    def test_versions(self, text, expected):
        assert version_string_as_tuple(text) == expected

    @pytest.mark.parametrize("text", ["x", "1.2b", "1.2.x"])
    def test_no_versions(self, text):
        with pytest.raises(ValueError):
            version_string_as_tuple(text)


@pytest.mark.parametrize(
    ("seconds", "ms"),
    [(None, None), (0, 0), (1, 1000), (1.5, 1500), ("2", 2000), (1.0001, 1000), (-1, -1000)],
)
def test_maybe_s_to_ms(seconds, ms):
    assert maybe_s_to_ms(seconds) == ms


class TestEmergencyDump:
    def test_is_a_pickle_that_only_the_owner_reads(self):
        out = io.StringIO()
        path = emergency_dump_state({"a": 1}, stderr=out)
        try:
            assert path in out.getvalue()
            with open(path, "rb") as f:
                assert pickle.load(f) == {"a": 1}
            assert os.stat(path).st_mode & 0o077 == 0
        finally:
            os.unlink(path)

    def test_is_text_when_it_cannot_be_pickled(self):
        out = io.StringIO()
        path = emergency_dump_state({"a": len, "b": lambda: 1}, stderr=out)
        try:
            with open(path) as f:
                assert "built-in function len" in f.read()
            assert "cannot pickle" in out.getvalue()
        finally:
            os.unlink(path)

    def test_another_way_to_dump(self, tmp_path):
        path = emergency_dump_state(
            "state", dump=lambda state, f, protocol: f.write(state.encode()), stderr=io.StringIO()
        )
        try:
            with open(path) as f:
                assert f.read() == "state"
        finally:
            os.unlink(path)

    def test_another_way_to_open(self, tmp_path):
        # Given
        written = io.BytesIO()
        written.close = lambda: None
        # When
        path = emergency_dump_state([1], open_file=lambda path, mode: written, stderr=io.StringIO())
        # Then
        try:
            assert pickle.loads(written.getvalue()) == [1]
        finally:
            os.unlink(path)


class TestDebug:
    def test_logwrapped(self, caplog):
        class Connection:
            name = "c"

            def declare(self, queue, durable=True):
                return queue

        wrapped = Logwrapped(Connection(), "kombu.tests.wrapped", ident="[{0.name}] ")
        with caplog.at_level(logging.DEBUG, "kombu.tests.wrapped"):
            assert wrapped.declare("q", durable=False) == "q"
        assert caplog.messages == ["[c] declare('q', durable=False)"]
        assert wrapped.name == "c"
        assert "declare" in dir(wrapped)
        assert "Connection" in repr(wrapped)

    def test_setup_logging(self, capfd):
        logger = logging.getLogger("kombu.tests.debug")
        try:
            setup_logging(loglevel="INFO", loggers=["kombu.tests.debug"])
            logger.info("seen")
            logger.debug("not seen")
            assert capfd.readouterr().err == "seen\n"
        finally:
            logger.handlers.clear()


class TestAmqManager:
    def test_says_what_is_missing(self):
        if find_spec("pyrabbit"):
            pytest.skip("pyrabbit is installed")
        with pytest.raises(ImportError, match="pip install pyrabbit"):
            amq_manager.get_manager(object())

    def test_asks_for_the_broker_of_the_connection(self, monkeypatch):
        # Given: the library's place taken by a module that shows what it is called with.
        module = types.ModuleType("pyrabbit")
        module.Client = lambda *args: args
        monkeypatch.setitem(sys.modules, "pyrabbit", module)
        client = types.SimpleNamespace(
            hostname="h",
            userid="u",
            password="p",
            transport_options={"manager_port": 80, "manager_userid": "admin"},
        )
        # Then
        assert amq_manager.get_manager(client) == ("h:80", "admin", "p")
        assert amq_manager.get_manager(client, "other", 81, "x", "y") == ("other:81", "x", "y")
        assert amq_manager.get_manager(object()) == ("localhost:15672", "guest", "guest")
