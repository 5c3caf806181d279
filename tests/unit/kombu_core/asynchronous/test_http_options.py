"""What a request's options do on the wire."""

from __future__ import annotations

import json
import ssl

import pytest

from kombu.asynchronous import Hub
from kombu.asynchronous.http import Client
from tests.support.certificates import Authority
from tests.unit.kombu_core.asynchronous.webserver import Server, fetch

pytest.importorskip("urllib3")


@pytest.fixture
def client(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    hub = Hub()
    yield Client(hub, max_clients=2)
    hub.close()


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


def asked(response):
    return json.loads(response.body)


def test_method_body_and_headers(client, server):
    got = asked(fetch(client, server.url, method="POST", body="hé", headers={"X-A": "b"}, user_agent="me"))
    assert (got["method"], got["body"]) == ("POST", "hé")
    sent = got["headers"]
    assert (sent["x-a"], sent["user-agent"], sent["content-length"]) == ("b", "me", "3")
    assert sent["content-type"] == "application/x-www-form-urlencoded"
    assert asked(fetch(client, server.url, method="PATCH", body=b"p"))["body"] == "p"
    assert fetch(client, server.url, method="HEAD").body == b""


def test_compression(client, server):
    assert fetch(client, server.url + "/zipped").body == b"small " * 1000
    for use, wanted in (True, "gzip,deflate"), (False, "identity"):
        assert asked(fetch(client, server.url, use_gzip=use))["headers"]["accept-encoding"] == wanted


def test_preparing_changes_what_is_sent(client, server):
    def prepare(arguments):
        arguments["headers"]["X-Signature"] = "s"

    assert asked(fetch(client, server.url, on_prepare=prepare))["headers"]["x-signature"] == "s"


def test_redirects(client, server):
    response = fetch(client, server.url + "/moved", method="POST", body="x")
    assert (response.code, response.effective_url) == (200, server.url + "/here")
    assert (asked(response)["method"], asked(response)["body"]) == ("GET", "")
    assert "Location" not in response.headers
    assert fetch(client, server.url + "/moved", follow_redirects=False).code == 302
    response = fetch(client, server.url + "/loop", max_redirects=3)
    assert response.code == 599 and "more than 3 redirects" in str(response.error)
    assert [each["path"] for each in server.asked].count("/loop") == 4


def test_another_server_does_not_get_the_password(client, server):
    with Server() as other:
        server.elsewhere = other.url + "/there"
        response = fetch(client, server.url + "/elsewhere", auth_username="u", auth_password="p")
    assert asked(response)["path"] == "/there" and "authorization" not in asked(response)["headers"]
    assert server.asked[0]["headers"]["authorization"] == "Basic dTpw"


def test_basic_authentication(client, server):
    response = fetch(client, server.url, auth_username="u", auth_password="p", auth_mode="basic")
    assert asked(response)["headers"]["authorization"] == "Basic dTpw"
    response = fetch(client, server.url.replace("//", "//u:p@"))
    assert asked(response)["headers"]["authorization"] == "Basic dTpw"


def test_digest_authentication_answers_the_challenge(client, server):
    response = fetch(client, server.url + "/digest", auth_username="u", auth_password="p", auth_mode="digest")
    assert response.code == 200 and response.body.startswith(b'Digest username="u", realm="r", nonce="n"')
    assert [each["path"] for each in server.asked] == ["/digest", "/digest"]
    assert "authorization" not in server.asked[0]["headers"]


def test_a_proxy_of_the_options_or_of_the_environment(client, server, monkeypatch):
    with Server() as proxy:
        options = {"proxy_host": "127.0.0.1", "proxy_port": proxy.server_port}
        response = fetch(client, server.url + "/far", proxy_username="a", proxy_password="b", **options)
        assert asked(response)["path"] == "/far"
        assert proxy.asked[0]["path"] == server.url + "/far"
        assert proxy.asked[0]["headers"]["proxy-authorization"] == "Basic YTpi"
        monkeypatch.setenv("http_proxy", proxy.url)
        assert asked(fetch(client, server.url + "/again"))["path"] == "/again" and len(proxy.asked) == 2
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert asked(fetch(client, server.url + "/direct"))["path"] == "/direct" and len(proxy.asked) == 2


def test_a_local_address(client, server):
    assert fetch(client, server.url, network_interface="127.0.0.1").code == 200
    assert fetch(client, server.url, network_interface="192.0.2.1").code == 599


@pytest.mark.parametrize(
    "url, options, error",
    [
        ("http://a", {"proxy_host": "p"}, "proxy_port"),
        ("http://a", {"auth_mode": "bogus"}, "'basic' or 'digest'"),
        ("ftp://u:secret@a", {}, "must be http"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(client, url, options, error):
    with pytest.raises(ValueError, match=error) as caught:
        client.perform(url, **options)
    assert "secret" not in str(caught.value)


def test_certificates_are_verified(client, authority):
    # Given a server that wants a certificate itself
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(**authority.issue("server", "127.0.0.1", "IP:127.0.0.1"))
    context.load_verify_locations(authority.cafile)
    context.verify_mode = ssl.CERT_REQUIRED
    ours = authority.issue("client", "me", client=True)
    mine = {"client_cert": ours["certfile"], "client_key": ours["keyfile"]}
    with Server(context) as server:
        # When and then
        assert fetch(client, server.url, ca_certs=authority.cafile, **mine).code == 200
        unknown = fetch(client, server.url, **mine)
        assert unknown.code == 599 and "CERTIFICATE_VERIFY_FAILED" in str(unknown.error)
        assert fetch(client, server.url, ca_certs=authority.cafile).code == 599
        wrong_name = fetch(client, server.url.replace("127.0.0.1", "localhost"), ca_certs=authority.cafile, **mine)
        assert wrong_name.code == 599
        from urllib3.exceptions import InsecureRequestWarning

        with pytest.warns(InsecureRequestWarning):
            assert fetch(client, server.url, validate_cert=False, **mine).code == 200
