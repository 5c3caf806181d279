"""Broker URLs. What they mean was observed on kombu 5.7 except where a test says otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu.utils.url import (
    _parse_url,
    as_url,
    maybe_sanitize_url,
    parse_ssl_cert_reqs,
    parse_url,
    safequote,
    sanitize_url,
    url_to_parts,
    urlparts,
)

text = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1)
SECRET = "s3cr3t"


class TestUrlToParts:
    @pytest.mark.parametrize(
        ("url", "parts"),
        [
            ("amqp://", ("amqp", None, None, None, None, None, {})),
            ("amqp://h", ("amqp", "h", None, None, None, None, {})),
            ("amqp://u:p@h:1//", ("amqp", "h", 1, "u", "p", "/", {})),
            ("amqp://u:p@h:1/%2f", ("amqp", "h", 1, "u", "p", "/", {})),
            ("amqp://u:p@h/v", ("amqp", "h", None, "u", "p", "v", {})),
            ("amqp://h/a/b", ("amqp", "h", None, None, None, "a/b", {})),
            ("amqp://h///", ("amqp", "h", None, None, None, "//", {})),
            ("amqp://u%40x:p%40%2F%23@h/v%20w", ("amqp", "h", None, "u@x", "p@/#", "v w", {})),
            ("amqp://u:p@x@h/v", ("amqp", "h", None, "u", "p@x", "v", {})),
            ("amqp://u:a:b@h/v", ("amqp", "h", None, "u", "a:b", "v", {})),
            ("amqp://u+x:p+y@h/a+b?c=d+e", ("amqp", "h", None, "u+x", "p+y", "a+b", {"c": "d e"})),
            ("amqp://u@h", ("amqp", "h", None, "u", None, None, {})),
            ("amqp://:p@h", ("amqp", "h", None, None, "p", None, {})),
            ("amqp://u:@h", ("amqp", "h", None, "u", None, None, {})),
            ("amqp://HOST:5672", ("amqp", "host", 5672, None, None, None, {})),
            ("amqp://h:/v", ("amqp", "h", None, None, None, "v", {})),
            ("amqp://[::1]:5672/v", ("amqp", "::1", 5672, None, None, "v", {})),
            ("amqp://u:p@[::1]/v", ("amqp", "::1", None, "u", "p", "v", {})),
            ("sqs://AKIA:sec%2Fret@", ("sqs", None, None, "AKIA", "sec/ret", None, {})),
            ("redis+socket:///tmp/x.sock", ("redis+socket", None, None, None, None, "tmp/x.sock", {})),
            ("memory:///x", ("memory", None, None, None, None, "x", {})),
            ("amqp://h?a=1&a=2&b=", ("amqp", "h", None, None, None, None, {"a": "2"})),
            ("redis://h/0?password=a@b", ("redis", "h", None, None, None, "0", {"password": "a@b"})),
            ("amqp://h:1/me@example", ("amqp", "h", 1, None, None, "me@example", {})),
            ("amqp://h#note", ("amqp", "h", None, None, None, None, {})),
            (" amqp://u:p\n@h ", ("amqp", "h", None, "u", "p", None, {})),
        ],
    )
    def test_forms(self, url, parts):
        assert url_to_parts(url) == urlparts(*parts)
        assert _parse_url is url_to_parts

    @given(
        user=text,
        password=text,
        path=text,
        host=st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True),
        port=st.none() | st.integers(1, 65535),
    )
    def test_there_and_back(self, user, password, path, host, port):
        url = as_url("amqp", host, port, user, password, path)
        assert url_to_parts(url) == urlparts("amqp", host, port, user, password, path, {})

    @given(st.dictionaries(text, text))
    def test_options_there_and_back(self, query):
        assert url_to_parts(as_url("amqp", "h", query=query)).query == query


class TestUnquotedCredentials:
    """5.7 says "invalid port", or connects to the wrong host, or shows a piece of the password."""

    @pytest.mark.parametrize("character", ["#", "?", "/", "[", "]", "%"])
    @pytest.mark.parametrize(
        "password", [SECRET + "{}" + SECRET, "{}" + SECRET, "1234{}" + SECRET, SECRET + "@{}x"]
    )
    @pytest.mark.parametrize("rest", ["h:5672//", "h/v", "h:5672", "h:5672/v?a=b"])
    def test_the_error_names_the_character_and_the_quoted_form_but_not_the_secret(
        self, character, password, rest
    ):
        # Given
        url = f"amqp://user:{password.format(character)}@{rest}"
        # When
        with pytest.raises(ValueError) as caught:
            url_to_parts(url)
        # Then
        message = str(caught.value)
        assert repr(character) in message
        assert f"%{ord(character):02X}" in message
        assert SECRET not in message and "1234" not in message
        assert caught.value.__cause__ is None and caught.value.__suppress_context__ is (
            caught.value.__context__ is not None
        )

    def test_what_reads_as_host_port_and_virtual_host_is_that(self):
        assert url_to_parts("amqp://user:1234/word@h")[1:6] == ("user", 1234, None, None, "word@h")

    @pytest.mark.parametrize("character", list("#?/[]%@:;&=+$,! \"'<>\\^`{|}~é"))
    def test_the_form_that_the_error_shows_works(self, character):
        password = f"pass{character}word"
        assert url_to_parts(f"amqp://user:{safequote(password)}@h//").password == password

    @pytest.mark.parametrize("user", ["us#er", "us/er", "us?er", "us%er", "us[er"])
    def test_the_user_name_counts_as_well(self, user):
        with pytest.raises(ValueError, match="unquoted"):
            url_to_parts(f"amqp://{user}:{SECRET}@h:5672/v")


class TestPorts:
    @pytest.mark.parametrize("port", ["bad", "99999", "65536", "-1", "1.5", "\u0661", "1,h2:2"])
    def test_what_is_no_port_is_not_shown(self, port):
        for url in (f"amqp://u:p@h:{port}/", f"amqp://h:{port}", f"amqp://[::1]:{port}/"):
            with pytest.raises(ValueError, match="port") as caught:
                url_to_parts(url)
            assert port not in str(caught.value).replace("65535", "")

    def test_a_password_without_a_host_is_not_shown(self):
        with pytest.raises(ValueError) as caught:
            url_to_parts(f"amqp://user:{SECRET}")
        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize("host", ["[::1]x", "[::1", "[::1:5672"])
    def test_a_broken_address(self, host):
        with pytest.raises(ValueError, match="host or port"):
            url_to_parts(f"amqp://{host}/")


class TestSanitize:
    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("amqp://u:p@h:1//", "amqp://u:**@h:1//"),
            ("amqp://u:p@h/v?secret=x", "amqp://u:**@h/v"),
            ("amqp://:p@h", "amqp://:**@h/"),
            ("amqp://u@h", "amqp://u@h/"),
            ("sqs://AKIA:sec%2Fret@", "sqs://AKIA:**@/"),
            ("memory://", "memory:///"),
            ("amqp://u:p@[::1]:5672/v", "amqp://u:**@[::1]:5672/v"),  # 5.7 quotes the colons
            ("a://u:p@h;b://u:q@h/", "a://u:**@h/;b://u:**@h/"),  # 5.7 shows the second password
        ],
    )
    def test_no_password(self, url, shown):
        assert sanitize_url(url) == maybe_sanitize_url(url) == shown

    def test_another_mask(self):
        assert sanitize_url("amqp://u:p@h/v", mask="...") == "amqp://u:...@h/v"
        assert sanitize_url("amqp://u:p@h/v", mask=None) == "amqp://u:@h/v"

    @pytest.mark.parametrize(
        "url",
        [f"amqp://u:{SECRET}{c}{SECRET}@{rest}" for c in "#?/[]%@:" for rest in ("h:1/v", "h", "h:bad/v", "")]
        + [
            f"amqp://u:{SECRET}",
            f"amqp://u:{SECRET}@x@y",
            f"redis://h/?password={SECRET}",
            f"amqp://u:{SECRET}@h#x",
        ],
    )
    def test_never_raises_and_never_leaks(self, url):
        for several in (url, f"amqp://a:b@c;{url}", f"{url};amqp://h"):
            assert SECRET not in maybe_sanitize_url(several)

    @pytest.mark.parametrize("thing", [None, 5, b"amqp://u:p@h", "not a url", "", "/path"])
    def test_what_is_no_url_comes_back(self, thing):
        assert maybe_sanitize_url(thing) is thing


class TestAsUrl:
    @pytest.mark.parametrize(
        ("parts", "url"),
        [
            (("amqp",), "amqp:///"),
            (("amqp", "h", 1), "amqp://h:1/"),
            (("amqp", "h", 1, "u/", "p@#", "/v/w"), "amqp://u%2F:p%40%23@h:1//v/w"),
            (("amqp", "h", None, None, "p"), "amqp://:p@h/"),
            (("amqp", "h", 0, "u", None, "v"), "amqp://u@h/v"),
            (("amqp", "h", 1, "u", "p", "v", "a=1", True), "amqp://u:**@h:1/v"),
            (("amqp", "h", None, None, None, "v", "a=1"), "amqp://h/v?a=1"),  # 5.7 drops the query
            (("amqp", "h", None, None, None, None, {"a": "1 2"}), "amqp://h/?a=1+2"),
            (("amqp", "h1,h2"), "amqp://h1,h2/"),
        ],
    )
    def test_forms(self, parts, url):
        assert as_url(*parts) == url


class TestParseUrl:
    def test_names_of_connection_arguments(self):
        assert parse_url("amqp://u:p@h:1/v?heartbeat=10") == {
            "transport": "amqp",
            "hostname": "h",
            "port": 1,
            "userid": "u",
            "password": "p",
            "virtual_host": "v",
            "heartbeat": "10",
        }

    def test_tls_options_are_gathered(self):
        import ssl

        query = "ssl_cert_reqs=required&ssl_ca_certs=%2Fa%2Fb&ssl_check_hostname=false&x=1"
        found = parse_url(f"rediss://h/0?{query}")
        assert found["ssl"] == {
            "ssl_cert_reqs": ssl.CERT_REQUIRED,
            "ssl_ca_certs": "/a/b",
            "ssl_check_hostname": False,
        }
        assert found["x"] == "1"

    def test_ssl_alone_stays(self):
        assert parse_url("amqp://h?ssl=True")["ssl"] == "True"

    def test_the_virtual_host_as_an_option(self):  # 5.7 raises TypeError
        assert parse_url("redis+socket:///tmp/x.sock?virtual_host=3")["virtual_host"] == "3"

    @pytest.mark.parametrize(
        ("value", "constant"),
        [
            ("none", 0),
            ("optional", 1),
            ("required", 2),
            ("CERT_NONE", 0),
            ("CERT_OPTIONAL", 1),
            ("CERT_REQUIRED", 2),
        ],
    )
    def test_cert_reqs(self, value, constant):
        assert parse_ssl_cert_reqs(value) == constant

    @pytest.mark.parametrize("value", ["bogus", "NONE", "", None])
    def test_bad_cert_reqs(self, value):
        with pytest.raises(ValueError, match="ssl_cert_reqs"):
            parse_ssl_cert_reqs(value)


def test_historic_names_are_here():
    import urllib.parse

    from kombu.utils.url import parse_qsl, quote, unquote, urlparse

    assert (parse_qsl, quote, unquote, urlparse) == (
        urllib.parse.parse_qsl,
        urllib.parse.quote,
        urllib.parse.unquote,
        urllib.parse.urlparse,
    )
