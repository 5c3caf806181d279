"""The HTTP client and its event loop, against a real server."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import weakref
from time import monotonic

import pytest

from kombu.asynchronous import Hub, set_event_loop
from kombu.asynchronous.http import Client, Request, get_client
from kombu.exceptions import HttpError
from tests.unit.kombu_core.asynchronous.webserver import Server, drive, fetch

pytest.importorskip("urllib3")


@pytest.fixture
def hub():
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture
def client(hub):
    return get_client(hub)


@pytest.fixture
def server():
    with Server() as server:
        yield server


def our_threads():
    return [thread for thread in threading.enumerate() if thread.name == "kombu-http"]


def test_a_response_comes_in_the_thread_of_the_hub(client, server):
    # Given
    told = []
    # When
    response = fetch(client, server.url + "/here?a=b", on_ready=lambda r: told.append(threading.get_ident()) or r)
    # Then
    assert told == [threading.get_ident()]
    assert (response.code, response.status_code, response.status) == (200, 200, "OK")
    assert response.error is None and response.raise_for_error() is None
    assert json.loads(response.body)["path"] == "/here?a=b" and response.content is response.body
    assert response.headers["Content-Length"] == str(len(response.body)) and response.headers.complete


def test_an_http_error_is_a_response_with_an_error(client, server):
    response = fetch(client, server.url + "/missing")
    assert (response.code, response.body) == (404, b"not here")
    with pytest.raises(HttpError, match="HTTP 404: Not Found") as caught:
        response.raise_for_error()
    assert caught.value.response is response


@pytest.mark.parametrize("path", ["refused", "short"])
def test_no_answer_is_599(client, server, path):
    # Given a port that nobody listens on, or a body that ends too early
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = server.url if path == "short" else f"http://127.0.0.1:{unused.getsockname()[1]}"
        # When
        response = fetch(client, f"{url}/{path}")
    # Then
    assert response.code == 599 and isinstance(response.error, HttpError) and response.body is None
    assert ("refused" if path == "refused" else "IncompleteRead") in str(response.error)


def test_headers_that_are_repeated(client, server):
    headers = fetch(client, server.url + "/repeated").headers
    assert headers["X-Part"] == "1, 2"
    assert headers.get_all("set-cookie") == ["a=1", "b=2"]


def test_a_callback_of_ones_own_sees_each_line_of_the_head(client, server):
    seen = []
    response = fetch(client, server.url + "/repeated", on_header=lambda headers, line: seen.append(line))
    assert seen[0] == b"HTTP/1.1 200 OK\r\n" and seen[-1] == b"\r\n" and b"Set-Cookie: b=2\r\n" in seen
    assert response.headers == {}


def test_a_stream_comes_part_by_part(client, server):
    # Given a server that sends the second part only after we have taken the first
    parts = []

    def take(part):
        parts.append((part, threading.get_ident()))
        server.release.set()

    # When
    response = fetch(client, server.url + "/parts", on_stream=take)
    # Then
    assert parts == [(b"first", threading.get_ident()), (b"second", threading.get_ident())]
    assert response.code == 200 and not response.body


@pytest.mark.parametrize("path", ["silent", "trickle"])
def test_a_time_limit_is_for_the_whole_request(client, server, path):
    # Given a server that says nothing, or never stops; when
    late, began = [], monotonic()
    response = fetch(client, f"{server.url}/{path}", request_timeout=0.2, on_timeout=late.append)
    # Then
    assert late == [response.request] and response.code == 599 and "request_timeout" in str(response.error)
    assert 0.15 < monotonic() - began < 20
    # and its thread is free again
    assert fetch(client, server.url + "/here").code == 200


def test_fifty_requests_ten_at_a_time(client, server):
    # Given
    responses = []
    # When
    client.perform([Request(server.url + "/crowd", on_ready=responses.append) for _ in range(50)])
    drive(client.hub, responses, 50)
    # Then
    assert {response.code for response in responses} == {200}
    assert server.most == 10 and len(our_threads()) == 10


def test_a_response_wakes_a_loop_that_waits(client, server):
    # Given a hub that has nothing to do for a long time
    hub, responses, rounds = client.hub, [], []
    hub.call_later(3600, rounds.append, None)
    hub.timer.max_interval = 3600
    threading.Timer(0.2, server.release.set).start()
    # When
    client.perform(server.url + "/silent", on_ready=responses.append, request_timeout=0)
    drive(hub, responses)
    # Then it did not wait for its timer
    assert responses[0].code == 200 and not rounds


def test_closing_answers_what_is_unfinished_and_ends_the_threads(hub, client, server):
    # Given one request under way and one that waits for a thread
    client.max_clients = 1
    responses = []
    client.perform([Request(server.url + "/silent", on_ready=responses.append) for _ in range(2)])
    while not server.asked:
        hub.call_later(0.01, lambda: None)
        hub.run_once()
    threads = our_threads()
    # When
    hub.close()
    # Then
    assert [response.code for response in responses] == [599, 599] and "closed" in str(responses[0].error)
    for thread in threads:
        thread.join(20)
    assert len(threads) == 1 and not our_threads()
    with pytest.raises(RuntimeError, match="get_client"):
        client.perform(server.url)
    assert get_client(hub) is not client


def test_a_client_that_is_forgotten_ends_its_threads(server):
    hub = Hub()
    client = Client(hub)
    fetch(client, server.url + "/here")
    threads, gone = our_threads(), weakref.ref(client)
    # When
    hub.on_close.clear()
    hub.timer.clear()
    del client
    gc.collect()
    # Then
    for thread in threads:
        thread.join(20)
    assert threads and gone() is None and not our_threads()
    hub.close()


def test_a_callback_that_fails_is_logged_and_the_loop_goes_on(client, server, caplog):
    def fail(*args):
        raise ValueError("boom")

    with caplog.at_level(logging.ERROR, "kombu"):
        client.perform(server.url, on_ready=fail)
        assert fetch(client, server.url + "/here", on_stream=fail).error.args == ("boom",)
        assert fetch(client, server.url + "/here").code == 200
    assert "boom" in caplog.text


def test_the_current_event_loop_is_taken_and_without_one_there_is_an_error(hub):
    with pytest.raises(RuntimeError, match="set_event_loop"):
        Client()
    set_event_loop(hub)
    try:
        assert get_client().hub is hub and get_client() is get_client(hub)
    finally:
        set_event_loop(None)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_has_connections_of_its_own(hub, client, server):
    # Given a connection that is kept
    assert fetch(client, server.url + "/here").code == 200
    # When a child uses the client, with a poller of its own
    pid = os.fork()
    if pid == 0:
        status = 1
        signal.alarm(30)  # a child that hangs is not left behind
        try:
            client.hub = Hub()
            status = 0 if fetch(client, server.url + "/child").code == 200 else 2
        finally:
            os._exit(status)
    # Then it was answered, and the parent's connection still works
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert fetch(client, server.url + "/parent").code == 200
    assert [asked["path"] for asked in server.asked] == ["/here", "/child", "/parent"]


def test_without_urllib3_the_error_says_what_to_install():
    script = (
        "import sys; sys.modules['urllib3'] = None\n"
        "from kombu.asynchronous import Hub, http\n"
        "try: http.Client(Hub())\n"
        "except ImportError as exc: print(exc)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "pip install 'kombu[http]'" in done.stdout
