"""Requests, responses, headers and digests: nothing here needs a network."""

from __future__ import annotations

from io import BytesIO

import pytest

from kombu.asynchronous import Hub
from kombu.asynchronous.http import BaseClient, Headers, Request, Response
from kombu.asynchronous.http.base import header_parser, normalize_header
from kombu.asynchronous.http.digest import answer
from kombu.exceptions import HttpError


def test_lines_become_headers():
    headers, parser = Headers(), header_parser()
    for line in (b"HTTP/1.1 200 OK\r\n", b"x-one: 1\r\n", b"  goes on\r\n", "X-ONE: 2\r\n", b"\r\n"):
        assert not headers.complete
        parser.send((line, headers))
    assert headers == {"X-One": "1 goes on, 2"} and headers.complete
    parser.send((b"HTTP/1.1 404 Not Found\r\n", headers))
    assert headers == {} and not headers.complete
    assert normalize_header("content-type") == "Content-Type"


def test_documented_defaults_and_spellings():
    request = Request("http://a", headers={"a": "b"}, timeout=3, network_interace="lo")
    assert (request.method, request.headers, request.request_timeout) == ("GET", {"a": "b"}, 3)
    assert (request.connect_timeout, request.max_redirects, request.network_interface) == (30.0, 6, "lo")
    with pytest.warns(UserWarning, match="did you mean 'max_redirects'"):
        Request("http://a", max_redirect=3)
    assert "secret" not in repr(Request("http://u:secret@a"))


def test_who_asks_hears_what_on_ready_returned():
    got = []
    request = Request("http://a", on_ready=lambda response: response + 1)
    request.then(got.append)
    request.on_ready(1)
    request.then(got.append)
    plain = Request("http://a")
    plain.then(got.append)
    plain.on_ready("response")
    assert got == [2, 2, "response"]


def test_an_errback_hears_what_on_ready_raised_and_without_one_it_is_raised():
    got = []

    def fail(response):
        raise ValueError(response)

    request = Request("http://a", on_ready=fail)
    request.then(None, got.append)
    request.on_ready(1)
    assert str(got[0]) == "1"
    with pytest.raises(ValueError):
        Request("http://a", on_ready=fail).on_ready(2)


@pytest.mark.parametrize("code, status", [(404, "Not Found"), (302, "Found"), (599, "Unknown")])
def test_what_is_not_a_success_is_an_error(code, status):
    response = Response(Request("http://a"), code)
    assert (response.status, str(response.error)) == (status, f"HTTP {code}: {status}")
    with pytest.raises(HttpError):
        response.raise_for_error()


def test_a_body_is_what_the_buffer_holds():
    assert Response(Request("http://a"), 200, buffer=BytesIO(b"x")).body == b"x"
    assert Response(Request("http://a"), 200).body is None


def test_a_client_leaves_its_hub():
    hub = Hub()
    with BaseClient(hub) as client:
        assert len(hub.on_close) == 1
        with pytest.raises(NotImplementedError):
            client.perform("http://a")
    assert not hub.on_close and client.closed


def test_the_digest_of_rfc_7616():
    # Given the example of section 3.9.1
    fields = (
        'realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    wanted = {
        "MD5": "8ca523f5e9506fed4657c9700eebdbec",
        "SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
    }
    for algorithm, response in wanted.items():
        # When
        given = answer(
            ["Basic realm=x", f"Digest {fields.format(algorithm)}"],
            "GET",
            "/dir/index.html",
            "Mufasa",
            "Circle of Life",
            cnonce,
        )
        # Then
        assert f'response="{response}"' in given and "qop=auth, nc=00000001" in given
    assert answer(["Basic realm=x"], "GET", "/", "u", "p") is None
