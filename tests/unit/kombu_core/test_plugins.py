"""Plugins found by entry point: real distributions' metadata on the path, nothing pretended."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap

import pytest

from kombu import matcher, serialization
from kombu._plugins import EntryPoints, PluginConflict, PluginError, PluginNotFound
from kombu.exceptions import ContentDisallowed, KombuError, SerializerNotInstalled
from kombu.matcher import MatcherNotInstalled, MatcherRegistry
from kombu.serialization import SerializerRegistry
from kombu.utils.compat import entrypoints

GROUP = "kombu.test_plugins"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """install(distribution, group, {name: target}, module=source): as pip would leave it."""
    before = set(sys.modules)

    def install(distribution: str, group: str, entries: dict[str, str], **modules: str) -> None:
        site = tmp_path / distribution
        info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        lines = [f"{name} = {target}" for name, target in entries.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
        for name, source in modules.items():
            (site / f"{name}.py").write_text(textwrap.dedent(source))
        monkeypatch.syspath_prepend(str(site))

    yield install
    for name in set(sys.modules) - before:
        if name.startswith("plug_"):
            del sys.modules[name]


class TestEntryPoints:
    def test_finds_and_loads(self, install):
        # Given
        install("acme-plugin", GROUP, {"acme": "plug_acme:thing"}, plug_acme="thing = object()")
        plugins = EntryPoints(GROUP)
        # Then: the module is imported when asked for, not before.
        assert plugins.names() == ["acme"]
        assert "acme" in plugins
        assert plugins.distribution("acme") == "acme-plugin"
        assert "plug_acme" not in sys.modules
        assert plugins.load("acme") is sys.modules["plug_acme"].thing

    def test_what_was_registered_in_code_goes_first(self, install):
        install("acme-plugin", GROUP, {"acme": "plug_acme:thing"}, plug_acme="thing = 1")
        plugins = EntryPoints(GROUP)
        plugins.register("acme", "mine")
        plugins.register("other", "also mine")
        assert plugins.load("acme") == "mine"
        assert plugins.distribution("acme") is None
        assert plugins.names() == ["acme", "other"]
        plugins.unregister("acme")
        assert plugins.load("acme") == 1
        with pytest.raises(PluginNotFound):
            plugins.unregister("acme")

    def test_a_registered_plugin_needs_no_metadata(self):
        # Given / When
        program = (
            "import sys\n"
            "from kombu._plugins import EntryPoints\n"
            "plugins = EntryPoints('kombu.transports')\n"
            "plugins.register('mine', 5); assert plugins.load('mine') == 5\n"
            "print({'importlib_metadata', 'importlib.metadata'} & set(sys.modules))\n"
        )
        out = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout
        # Then
        assert out.strip() == "set()"

    def test_two_distributions_of_one_name(self, install):
        # Given
        install("acme-one", GROUP, {"acme": "plug_a:x", "fine": "plug_a:x"}, plug_a="x = 1")
        install("acme-two", GROUP, {"acme": "plug_b:x"}, plug_b="x = 2")
        plugins = EntryPoints(GROUP)
        # Then: neither is chosen, and other names work.
        with pytest.raises(PluginConflict, match="'acme'.*acme-one and acme-two"):
            plugins.load("acme")
        assert plugins.distribution("acme") == "acme-one and acme-two"
        assert plugins.load("fine") == 1
        assert "plug_b" not in sys.modules

    def test_the_same_distribution_twice_is_one(self, install, tmp_path, monkeypatch):
        # Given: as when a wheel is installed beside an editable copy.
        install("acme-one", GROUP, {"acme": "plug_a:x"}, plug_a="x = 1")
        second = tmp_path / "second"
        (second / "Acme_One-2.0.dist-info").mkdir(parents=True)
        (second / "Acme_One-2.0.dist-info" / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: acme-one\nVersion: 2\n"
        )
        (second / "Acme_One-2.0.dist-info" / "entry_points.txt").write_text(f"[{GROUP}]\nacme = plug_a:x\n")
        monkeypatch.syspath_prepend(str(second))
        # Then
        assert EntryPoints(GROUP).load("acme") == 1

    @pytest.mark.parametrize(
        ("source", "cause"),
        [
            ("import a_driver_that_is_not_there", ModuleNotFoundError),
            ("raise RuntimeError('boom')", RuntimeError),
            ("y = 1", AttributeError),
        ],
    )
    def test_a_plugin_that_cannot_be_imported_is_its_own_error(self, install, source, cause):
        install("acme-plugin", GROUP, {"acme": "plug_acme:x"}, plug_acme=source)
        with pytest.raises(PluginError, match="'acme'.*plug_acme:x.*acme-plugin") as caught:
            EntryPoints(GROUP).load("acme")
        assert isinstance(caught.value.__cause__, cause)
        assert isinstance(caught.value, KombuError)
        assert not isinstance(caught.value, KeyError)

    def test_a_miss_shows_what_is_near(self, install):
        install("acme-plugin", GROUP, {"redis": "plug_acme:x", "memory": "plug_acme:x"}, plug_acme="x = 1")
        plugins = EntryPoints(GROUP)
        assert plugins.near("rediss") == ["redis"]
        with pytest.raises(PluginNotFound, match=r"'rediss' in kombu.test_plugins; did you mean 'redis'\?"):
            plugins.load("rediss")
        with pytest.raises(KeyError, match="known: memory, redis"):
            plugins.load("zzz")
        assert plugins.distribution("zzz") is None

    def test_reset_reads_anew(self, install):
        # Given
        plugins = EntryPoints(GROUP)
        plugins.register("mine", 1)
        assert plugins.names() == ["mine"]
        install("acme-plugin", GROUP, {"acme": "plug_acme:x"}, plug_acme="x = 1")
        assert plugins.names() == ["mine"]
        # When
        plugins.reset()
        # Then
        assert plugins.names() == ["acme"]

    def test_compat_entrypoints_loads_all(self, install):
        install("acme-plugin", GROUP, {"acme": "plug_acme:x"}, plug_acme="x = 7")
        assert [(ep.name, thing) for ep, thing in entrypoints(GROUP)] == [("acme", 7)]


class TestSerializers:
    CSV = """
        def encode(rows): return ",".join(rows)
        def decode(s): return (s.decode() if isinstance(s, bytes) else s).split(",")
        register_args = (encode, decode, "text/x-csv", "utf-8")
        """

    @pytest.fixture
    def registry(self):
        registry = SerializerRegistry()
        registry._use_plugins(GROUP)
        return registry

    def test_found_by_name_on_the_first_miss(self, install, registry):
        install("acme-csv", GROUP, {"csv": "plug_csv:register_args"}, plug_csv=self.CSV)
        assert "plug_csv" not in sys.modules
        assert registry.dumps(["a", "b"], "csv") == ("text/x-csv", "utf-8", "a,b")

    def test_found_by_content_type_and_decoded_when_accepted(self, install, registry):
        install("acme-csv", GROUP, {"csv": "plug_csv:register_args"}, plug_csv=self.CSV)
        assert registry.loads(b"a,b", "text/x-csv", "utf-8", accept={"text/x-csv"}) == ["a", "b"]

    def test_being_installed_is_not_being_trusted(self, install, registry):
        install("acme-csv", GROUP, {"csv": "plug_csv:register_args"}, plug_csv=self.CSV)
        with pytest.raises(ContentDisallowed, match=r"csv \(text/x-csv\)"):
            registry.loads(b"a,b", "text/x-csv", "utf-8")

    @pytest.mark.parametrize("by", ["csv", "text/x-csv"])
    def test_enabled_before_it_was_loaded(self, install, registry, by):
        install("acme-csv", GROUP, {"csv": "plug_csv:register_args"}, plug_csv=self.CSV)
        registry.enable(by)
        assert registry.loads(b"a,b", "text/x-csv", "utf-8") == ["a", "b"]

    def test_plain_text_and_data_load_nothing(self, install, registry):
        install("acme-csv", GROUP, {"csv": "plug_csv:register_args"}, plug_csv=self.CSV)
        registry.loads(b"x", "text/plain", "utf-8")
        registry.loads(b"x", None, "binary")
        registry.dumps("x")
        assert "plug_csv" not in sys.modules

    def test_a_broken_one_spoils_nothing_else(self, install, registry, caplog):
        # Given
        install(
            "acme-bad", GROUP, {"bad": "plug_bad:register_args"}, plug_bad="import a_driver_that_is_not_there"
        )
        install("acme-csv", GROUP, {"csv": "plug_csv:register_args"}, plug_csv=self.CSV)
        # When: somebody else's content type makes us look.
        with caplog.at_level(logging.WARNING, "kombu"):
            body = registry.loads(b"\x89PNG", "image/png", "binary")
        # Then: it is mentioned, and asking for it by name is an error of its own.
        assert body == b"\x89PNG"
        assert "acme-bad" in caplog.text
        with pytest.raises(PluginError, match="acme-bad"):
            registry.dumps({}, "bad")
        assert registry.dumps(["a"], "csv")[2] == "a"

    @pytest.mark.parametrize("value", ["(len, len)", "5", "None"])
    def test_something_else_than_the_tuple(self, install, registry, value):
        install("acme-bad", GROUP, {"bad": "plug_bad:x"}, plug_bad=f"x = {value}")
        with pytest.raises(PluginError, match="'bad' of acme-bad is not a tuple"):
            registry.dumps({}, "bad")

    def test_a_built_in_one_is_not_replaced_and_the_log_says_so(self, install, registry, caplog):
        # Given
        registry.register("csv", str, None, "text/csv")
        registry._use_plugins(GROUP)
        install("acme-csv", GROUP, {"csv": "plug_csv:register_args"}, plug_csv=self.CSV)
        # When
        registry.warn_of_ignored()
        # Then
        assert registry.dumps(["a"], "csv")[2] == "['a']"
        assert f"'csv' in {GROUP} of acme-csv is ignored" in caplog.text
        assert "call kombu.serialization.register('csv', ...)" in caplog.text
        # But who replaces it is left alone
        caplog.clear()
        registry.register("csv", repr, None, "text/csv")
        registry.warn_of_ignored()
        assert not caplog.records

    def test_the_first_connection_looks_for_such(self, install):
        install("acme-json", "kombu.serializers", {"json": "plug_json:register_args"})
        program = f"""
import logging, sys
from kombu import Connection
logging.basicConfig()
sys.path.insert(0, {sys.path[0]!r})
for _ in range(2):
    Connection("memory://").connect()
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stderr.count("'json' in kombu.serializers of acme-json is ignored") == 1

    def test_a_miss_is_a_miss(self, registry):
        with pytest.raises(SerializerNotInstalled):
            registry.dumps({}, "nobody")

    def test_the_global_registry_uses_the_documented_group(self):
        assert serialization.registry._plugins.group == "kombu.serializers"


class TestMatchers:
    def test_found_by_name(self, install):
        install(
            "acme-match",
            GROUP,
            {"same": "plug_match:same"},
            plug_match="def same(data, pattern): return data == pattern",
        )
        registry = MatcherRegistry()
        registry._plugins = EntryPoints(GROUP)
        assert registry.match("a", "a", matcher="same") is True
        assert registry.match("a", "b", matcher="same") is False
        with pytest.raises(MatcherNotInstalled):
            registry.match("a", "a", matcher="other")

    def test_the_global_registry_uses_the_documented_group(self):
        assert matcher.registry._plugins.group == "kombu.matchers"
