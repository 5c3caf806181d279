"""URLs and keywords. What the URLs mean was observed on kombu 5.7 except where a test says otherwise."""

from __future__ import annotations

import pickle
import re
import ssl

import pytest

from kombu import Connection
from kombu.connection import BrokerConnection

FORMS = {
    "memory://": {"hostname": None, "port": None, "userid": None, "password": None, "virtual_host": "/"},
    "redis://localhost:6379/1": {"hostname": "localhost", "port": 6379, "virtual_host": "1"},
    "amqp://u:p@h:123//": {"userid": "u", "password": "p", "hostname": "h", "port": 123, "virtual_host": "/"},
    "amqp://h": {"hostname": "h", "virtual_host": "/"},
    "amqp://h/": {"hostname": "h", "virtual_host": "/"},
    "amqp://h/foo": {"virtual_host": "foo"},
    "amqp://h//foo": {"virtual_host": "/foo"},
    "amqp://h/%2Ffoo": {"virtual_host": "/foo"},
    "amqp://u%40x:p%2F%23%3F%25@h/": {"userid": "u@x", "password": "p/#?%", "hostname": "h"},
    "amqp://u:p:w@h": {"userid": "u", "password": "p:w"},
    "redis://:pw@h:1/2": {"userid": None, "password": "pw", "hostname": "h", "port": 1, "virtual_host": "2"},
    "sqs://AK%2F:SK@": {"userid": "AK/", "password": "SK", "hostname": None},
    "amqp://[::1]:5672/v": {"hostname": "::1", "port": 5672, "virtual_host": "v"},
    "redis+socket:///tmp/redis.sock": {"uri_prefix": "redis", "hostname": "socket:///tmp/redis.sock"},
    "redis+socket:///tmp/r.sock?virtual_host=3": {"hostname": "socket:///tmp/r.sock?virtual_host=3"},
    "sqla+postgresql://u:p@h/db": {"uri_prefix": "sqla", "hostname": "postgresql://u:p@h/db", "userid": None},
    "redis+cluster://h:7000/0": {"transport_cls": "redis+cluster", "hostname": "h", "port": 7000},
    "amqp://h/v?heartbeat=10&connect_timeout=3": {
        "heartbeat": 10.0,
        "connect_timeout": 3.0,
        "virtual_host": "v",
    },
    "amqp://h/v?ssl=1": {"ssl": True},
    # 5.7 takes the text "0" for true.
    "amqp://h/v?ssl=0": {"ssl": False},
    "rediss://h/1?ssl_cert_reqs=required&ssl_ca_certs=/x": {
        "ssl": {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": "/x"}
    },
    "myhost": {"hostname": "myhost", "port": None, "transport_cls": "amqp"},
    # 5.7 leaves the port in the host name.
    "myhost:99": {"hostname": "myhost", "port": 99},
}


@pytest.mark.parametrize("url", FORMS)
def test_the_documented_forms(url):
    connection = Connection(url)

    assert {name: getattr(connection, name) for name in FORMS[url]} == FORMS[url]


def test_without_arguments_it_is_amqp_on_localhost():
    connection = Connection()

    assert (connection.hostname, connection.transport_cls, connection.virtual_host) == (
        "localhost",
        "amqp",
        "/",
    )


def test_keywords_hold_where_the_url_says_nothing():
    # Given a URL with a user and keywords for everything
    connection = Connection(
        "amqp://u@h", userid="d", password="p", virtual_host="w", port=7, heartbeat=4, ssl=True
    )

    # Then the URL goes first
    assert (connection.userid, connection.password, connection.virtual_host) == ("u", "p", "w")
    assert (connection.port, connection.heartbeat, connection.ssl) == (7, 4.0, True)


def test_the_transport_keyword_goes_before_the_scheme():
    assert Connection("amqp://h", transport="memory").transport_cls == "memory"


@pytest.mark.parametrize("scheme", ["kombu.transport.memory:Transport", "a.b", "os:system"])
def test_a_url_never_chooses_what_is_imported(scheme):
    with pytest.raises(ValueError, match="cannot choose what is imported"):
        Connection(f"{scheme}://h")
    # but the argument can
    assert (
        Connection("h", transport="kombu_memory:Transport")
        .get_transport_cls()
        .__module__.startswith("kombu_memory")
    )


@pytest.mark.parametrize(
    "option", ["transport=os.system", "credential_provider=os:system", "foo=bar", "hartbeat=3"]
)
def test_unknown_options_in_the_url_are_refused(option):
    with pytest.raises(TypeError, match=option.partition("=")[0]) as caught:
        Connection(f"memory://h/v?{option}")
    assert ("did you mean 'heartbeat'" in str(caught.value)) == option.startswith("hart")


@pytest.mark.parametrize("option", ["heartbeat=x", "connect_timeout=x", "ssl=maybe"])
def test_options_that_cannot_be_read_are_named(option):
    with pytest.raises(ValueError, match=option.partition("=")[0]):
        Connection(f"memory://h/v?{option}")


@pytest.mark.parametrize("character", "#?/[%;")
@pytest.mark.parametrize("url", ["amqp://user:sec{}ret@host:5672//", "redis://:sec{}ret@host/0"])
def test_an_unquoted_character_in_a_password_is_named_and_the_secret_is_not_shown(character, url):
    # When the password has a character that ends the authority part of a URL
    with pytest.raises(ValueError) as caught:
        Connection(url.format(character))

    # Then the error names it, says how to write it, and keeps the secret, also in what it was raised from
    error = caught.value
    assert f"{character!r}" in str(error)
    assert f"%{ord(character):02X}" in str(error)
    while error is not None:
        assert "sec" not in str(error).replace("secret.", "")
        error = error.__cause__ or error.__context__

    # And quoted as it says, it is understood
    assert Connection(url.format(f"%{ord(character):02X}")).password == f"sec{character}ret"


def test_a_bad_port_is_told_without_the_rest():
    with pytest.raises(ValueError, match="port") as caught:
        Connection("amqp://user:sesame")
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    "urls",
    ["memory://a;memory://b;redis://c/1", ["memory://a", "memory://b", "redis://c/1"]],
    ids=["text", "list"],
)
def test_several_urls_are_alternates(urls):
    connection = Connection(urls)

    assert connection.hostname == "a"
    assert connection.alt == connection.info()["alternates"] == ["memory://a", "memory://b", "redis://c/1"]


def test_each_alternate_takes_its_own_part_of_the_url_and_the_keywords():
    # Given credentials in the first URL only, and a port for all
    connection = Connection("memory://u:p@a;memory://b;c;memory://v:w@d:9", port=7)
    seen = []
    for _ in range(4):
        connection.maybe_switch_next()
        seen.append((connection.hostname, connection.userid, connection.password, connection.port))

    # Then another URL does not get the first one's password; a bare host is the first URL at another place
    assert seen == [("b", None, None, 7), ("c", "u", "p", 7), ("d", "v", "w", 9), ("a", "u", "p", 7)]


def test_credentials_given_as_keywords_hold_for_all_alternates():
    # 5.7 forgets them at the first switch
    connection = Connection("memory://a;memory://b", userid="u", password="p")
    connection.maybe_switch_next()

    assert (connection.hostname, connection.userid, connection.password) == ("b", "u", "p")


@pytest.mark.parametrize(
    "url, shown",
    {
        "amqp://u:sesame@h:1/v": "amqp://u:**@h:1/v",
        "redis://:sesame@h/0": "redis://:**@h:6379/0",
        "redis+socket://:sesame@/tmp/r.sock": "redis+socket://:**@/tmp/r.sock",
        "sqla+postgresql://u:sesame@h/db": "sqla+postgresql://u:**@h/db",
        "memory://": "memory://localhost//",
        "other://[::1]:5672/v": "other://[::1]:5672/v",
        "unknown://u:sesame@h/": "unknown://u:**@h//",
    }.items(),
)
def test_as_uri_and_repr_mask_the_password(url, shown):
    connection = Connection(url)

    assert connection.as_uri() == shown
    assert "sesame" not in repr(connection) + repr(connection._keywords) + repr(connection._home)
    assert "sesame" not in repr(connection.__eqhash__())


# A scheme of no transport, because an installed one fills in its defaults.
@pytest.mark.parametrize("url", [re.sub("^amqp", "other", url) for url in FORMS if "://" in url and "?" not in url])
def test_as_uri_with_the_password_leads_to_the_same_place(url):
    connection = Connection(url)
    again = Connection(connection.as_uri(include_password=True))

    for name in ("hostname", "userid", "password", "virtual_host", "port", "uri_prefix", "transport_cls"):
        assert getattr(again, name) == (
            getattr(connection, name) or ("localhost" if name == "hostname" else None)
        ), name


def test_a_transport_given_as_a_class_shows_by_its_kind():
    from .tinybroker import TinyTransport

    class Nameless(TinyTransport):
        driver_type = "N/A"

    assert Connection("h", transport=TinyTransport).as_uri() == "tiny://h:1//"
    assert Connection("h", transport=Nameless).as_uri() == "nameless://h:1//"


def test_as_uri_takes_a_mask_and_a_choice_of_fields():
    connection = Connection("memory://u:p@h:7/v")

    assert connection.as_uri(mask="XX") == "memory://u:XX@h:7/v"
    assert connection.as_uri(getfields=lambda info: (None, None, None, "w", "x")) == "x://h/w"
    assert connection.host == "h:7"


def test_a_transport_that_reads_urls_gets_the_whole_of_it():
    # Given a transport with a syntax of its own
    from .tinybroker import TinyTransport

    class Reads(TinyTransport):
        can_parse_url = True

        def as_uri(self, uri, include_password=False, mask="**"):
            return "shown"

    # When a connection is made with a URL that nobody else can read
    connection = Connection("reads://key=a/b?c:d@e:f#g", transport=Reads)
    assert connection.transport

    # Then the transport finds it in hostname
    assert connection.hostname == "reads://key=a/b?c:d@e:f#g"
    assert connection.as_uri() == "shown"
    assert connection.as_uri(include_password=True) == connection.hostname


def test_info_has_what_is_in_force():
    info = Connection("memory://u:p@h:7/v", transport_options={"a": 1}, heartbeat=3, insist=True).info()

    assert info == {
        "hostname": "h",
        "userid": "u",
        "password": "p",
        "virtual_host": "v",
        "port": 7,
        "insist": True,
        "ssl": False,
        "transport": "memory",
        "connect_timeout": 5,
        "transport_options": {"a": 1},
        "login_method": None,
        "uri_prefix": None,
        "heartbeat": 3.0,
        "failover_strategy": "round-robin",
        "alternates": [],
        "credential_provider": None,
    }


def test_the_historic_attributes_can_be_set():
    connection = Connection("memory://h")
    connection.hostname, connection.userid, connection.password = "z", "u", "p"
    connection.virtual_host, connection.port, connection.ssl = "v", 3, {"a": 1}
    connection.connect_timeout, connection.transport_options = 9, {"b": 2}

    assert connection.as_uri(include_password=True) == "memory://u:p@z:3/v"
    copy = connection.clone()
    assert (copy.ssl, copy.connect_timeout, copy.transport_options) == ({"a": 1}, 9, {"b": 2})
    assert copy.as_uri(include_password=True) == "memory://u:p@z:3/v"


@pytest.mark.parametrize(
    "again", [lambda c: c.clone(), lambda c: pickle.loads(pickle.dumps(c))], ids=["clone", "pickle"]
)
@pytest.mark.parametrize(
    "url", ["memory://u:p@a:1/v;redis://b", "redis+socket:///tmp/x", "amqp://h?ssl=1", "h", "h:3"]
)
def test_clones_and_pickles_are_alike_and_unconnected(url, again):
    connection = Connection(
        url, heartbeat=3, userid="k", failover_strategy="shuffle", transport_options={"x": 1}
    )
    copy = again(connection)

    assert copy._info(resolve=False) == connection._info(resolve=False)
    assert copy.__eqhash__() == connection.__eqhash__()
    assert not copy.connected
    assert type(copy) is Connection is BrokerConnection


def test_a_clone_fails_over_with_the_same_credentials_as_its_model():
    # Given a password in the first URL, and a clone
    copy = pickle.loads(pickle.dumps(Connection("memory://u:p@a;memory://b").clone()))

    # When the clone goes on to the other broker
    copy.maybe_switch_next()

    # Then it does not take the password along
    assert (copy.hostname, copy.userid, copy.password) == ("b", None, None)


def test_clone_takes_changes():
    copy = Connection("memory://u:p@h/v", heartbeat=3).clone(hostname="z", heartbeat=9)

    assert (copy.hostname, copy.userid, copy.heartbeat, copy.virtual_host) == ("z", "u", 9.0, "v")


@pytest.mark.parametrize(
    "other",
    [
        {"hostname": "memory://h2"},
        {"userid": "x"},
        {"ssl": True},
        {"transport_options": {"a": 1}},
        {"heartbeat": 3},
        {"connect_timeout": 9},
        {"alternates": ["memory://b"]},
        {"login_method": "EXTERNAL"},
        {"credential_provider": "p"},
    ],
)
def test_connections_are_the_same_when_all_parameters_are(other):
    assert Connection("memory://h").__eqhash__() == Connection("memory://h").__eqhash__()
    assert (
        Connection("memory://h").__eqhash__()
        != Connection(**{"hostname": "memory://h", **other}).__eqhash__()
    )


def test_failing_over_does_not_make_it_another_connection_but_switching_does():
    connection = Connection("memory://a;memory://b")
    key = connection.__eqhash__()

    connection.maybe_switch_next()
    assert connection.hostname == "b"
    assert connection.__eqhash__() == key

    connection.switch("memory://c")
    assert connection.__eqhash__() != key


def test_an_unknown_argument_is_ignored_aloud():
    with pytest.warns(UserWarning, match="'ssll'"):
        Connection("memory://", ssll=True)


def test_transport_options_must_be_a_mapping():
    with pytest.raises(TypeError, match="transport_options must be a mapping, not str"):
        Connection("memory://", transport_options="x")


@pytest.mark.parametrize("strategy", ["nope", 3])
def test_an_unknown_failover_strategy_is_told_at_once(strategy):
    with pytest.raises(ValueError, match=r"'round-robin' or 'shuffle' or a function.*"):
        Connection("memory://", failover_strategy=strategy)
