"""Requests, responses, and the contract of HTTP clients."""

from __future__ import annotations

import warnings
from difflib import get_close_matches
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from kombu.asynchronous.http.promise import Promise
from kombu.exceptions import HttpError
from kombu.utils.compat import coro
from kombu.utils.url import maybe_sanitize_url

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping
    from io import BytesIO

    from kombu.asynchronous.hub import Hub

__all__ = ("BaseClient", "Headers", "Request", "Response")

#: Spellings of the historic documentation.
_ALIASES = {"timeout": "request_timeout", "network_interace": "network_interface"}


def normalize_header(key: str) -> str:
    """A header's name as it is written most: ``content-type`` is ``Content-Type``."""
    return "-".join(part.capitalize() for part in key.split("-"))


class Headers(dict[str, str]):
    """HTTP headers by name. One that came several times is joined with commas (RFC 9110, 5.3)."""

    #: All of them have been read.
    complete = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: As they came: (name, value).
        self.lines: list[tuple[str, str]] = list(self.items())

    def add(self, name: str, value: str) -> None:
        """Enter one more line."""
        self.lines.append((name, value))
        self[name] = f"{self[name]}, {value}" if name in self else value

    def get_all(self, name: str) -> list[str]:
        """Each value of ``name``, in any case: what ``Set-Cookie`` needs, as its values have commas of their own."""
        return [value for key, value in self.lines if key.lower() == name.lower()]

    def begin(self) -> None:
        """Forget everything: another response starts."""
        self.clear()
        self.lines.clear()
        self.complete = False


@coro
def header_parser(keyt: Callable[[str], str] = normalize_header) -> Generator[None, tuple[Any, Headers], None]:
    """A generator; send it ``(line, headers)`` and it enters the line, bytes or text, into the headers."""
    while True:
        line, headers = yield
        text = (line.decode("latin-1") if isinstance(line, bytes) else line).rstrip("\r\n")
        name, colon, value = text.partition(":")
        if text.startswith("HTTP/"):
            headers.begin()
        elif not text:
            headers.complete = True
        elif text[0] in " \t" and headers.lines:  # the line before goes on
            last, so_far = headers.lines[-1]
            headers.lines[-1] = (last, f"{so_far} {text.strip()}")
            headers[last] = f"{headers[last]} {text.strip()}"
        elif colon:
            headers.add(keyt(name.strip()), value.strip())


def _as_promise(callback: Any) -> Any:
    return callback if hasattr(callback, "then") else Promise(callback)


class Request:
    """A request, and whom to tell. All callbacks are called in the thread that drives the hub.

    Arguments:
        url: ``http`` or ``https``. A user and a password in it are those of basic authentication.
        on_ready: called with the :class:`Response`, whatever became of the request.
        on_timeout: called with the request before ``on_ready``, when a time limit was reached.
        on_stream: called with each part of the body (bytes) as it arrives; the response then has none.
        on_header: called with (headers, line) for each line of the head, bytes. It then has to call
            ``client.on_header(headers, line)`` for what shall be in ``response.headers``.
        on_prepare: called by ``perform`` with the keyword arguments of urllib3's ``urlopen``, to be changed in place.
        kwargs: any attribute below.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "headers",
        "method",
        "on_header",
        "on_prepare",
        "on_ready",
        "on_stream",
        "on_timeout",
        "url",
    )

    #: Bytes, or text that is sent as UTF-8.
    body: bytes | str | None = None
    user_agent: str | None = None
    #: Name of an interface, or a local address.
    network_interface: str | None = None
    auth_username: str | None = None
    auth_password: str | None = None
    #: ``basic`` (the default) or ``digest``.
    auth_mode: str | None = None
    #: Without one, the environment's ``http_proxy``, ``https_proxy`` and ``no_proxy`` count.
    proxy_host: str | None = None
    proxy_port: int | None = None
    proxy_username: str | None = None
    proxy_password: str | None = None
    #: File names. Without ``ca_certs`` the system's authorities count.
    ca_certs: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    validate_cert = True
    use_gzip = True
    follow_redirects = True
    max_redirects = 6
    #: Seconds; None or 0: no limit. The request's time begins when it leaves the queue, and is for all of it.
    connect_timeout: float | None = 30.0
    request_timeout: float | None = 30.0

    def __init__(
        self,
        url: str,
        method: str = "GET",
        on_ready: Callable[[Response], Any] | None = None,
        on_timeout: Callable[[Request], Any] | None = None,
        on_stream: Callable[[bytes], Any] | None = None,
        on_prepare: Callable[[dict[str, Any]], Any] | None = None,
        on_header: Callable[[Headers, bytes], Any] | None = None,
        headers: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        self.url = url
        self.method = method or "GET"
        self.on_ready = _as_promise(on_ready)
        self.on_timeout = on_timeout
        self.on_stream = on_stream
        self.on_prepare = on_prepare
        self.on_header = on_header
        self.headers = headers if isinstance(headers, Headers) else Headers(headers or {})
        for name, value in kwargs.items():
            self._set(_ALIASES.get(name, name), value)

    def _set(self, name: str, value: Any) -> None:
        if not hasattr(type(self), name):
            options = [option for option in vars(Request) if not option.startswith("_")]
            near = "".join(f"; did you mean {found!r}?" for found in get_close_matches(name, options, 1))
            warnings.warn(f"Request has no option {name!r}, nothing looks at it{near}", stacklevel=4)
        setattr(self, name, value)

    def then(self, callback: Callable[[Any], Any], errback: Callable[[Exception], Any] | None = None) -> None:
        """Call ``callback`` with what ``on_ready`` returned, or with the response when there is no ``on_ready``.

        ``errback`` is called with the exception that ``on_ready`` or ``callback`` raised. A failed request is an
        outcome like any other: look at ``response.error``.
        """
        self.on_ready.then(callback, errback)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.method} {maybe_sanitize_url(self.url)}>"


class Response:
    """An answer, or what went wrong instead of one: ``code`` is 599 then.

    Arguments:
        request: what it is the response to.
        code: the status, such as 404.
        headers: those of the last response, after redirects.
        buffer: what was read of the body.
        effective_url: where the response came from, after redirects.
        error: why there is none. A status other than 2xx makes an error of its own.
        status: the status in words.
    """

    __slots__ = ("_body", "buffer", "code", "effective_url", "error", "headers", "request", "status")

    def __init__(
        self,
        request: Request,
        code: int,
        headers: Headers | None = None,
        buffer: BytesIO | None = None,
        effective_url: str | None = None,
        error: Exception | None = None,
        status: str | None = None,
    ) -> None:
        self.request = request
        self.code = code
        self.headers = Headers() if headers is None else headers
        self.buffer = buffer
        self.effective_url = effective_url or request.url
        self.status = status or _in_words(code)
        self.error = error
        if error is None and not 200 <= code < 300:
            self.error = HttpError(code, self.status, self)
        self._body: bytes | None = None

    def raise_for_error(self) -> None:
        """Raise the error, if there is one.

        Raises:
            HttpError: the status is not 2xx, or there was no answer (599).
        """
        if self.error is not None:
            raise self.error

    @property
    def body(self) -> bytes | None:
        """The body, decompressed; None when there was no answer."""
        if self._body is None and self.buffer is not None:
            self._body = self.buffer.getvalue()
        return self._body

    @property
    def status_code(self) -> int:
        return self.code

    @property
    def content(self) -> bytes | None:
        return self.body

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.code} {self.status} for {self.request!r}>"


def _in_words(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return "Unknown"


#: For annotations inside BaseClient, where these names are attributes.
_Headers = Headers
_Request = Request


class BaseClient:
    """What performs requests. A subclass has :meth:`add_request`; the client closes with its hub."""

    Headers = Headers
    Request = Request
    Response = Response

    #: No more requests are taken.
    closed = False

    def __init__(self, hub: Hub, **kwargs: Any) -> None:
        self.hub = hub
        self._header_parser = header_parser()
        hub.on_close.add(self._on_hub_close)

    def perform(self, request: str | _Request | Iterable[str | _Request], **kwargs: Any) -> None:
        """Begin a request, or several. ``kwargs`` are options for those that are given as URLs."""
        for one in (request,) if isinstance(request, (str, _Request)) else request:
            self.add_request(self.Request(one, **kwargs) if isinstance(one, str) else one)

    def add_request(self, request: _Request) -> Any:
        """Begin ``request``."""
        raise NotImplementedError(f"{type(self).__name__} must implement add_request")

    def close(self) -> None:
        """Take no more requests."""
        self.closed = True
        self.hub.on_close.discard(self._on_hub_close)

    def on_header(self, headers: _Headers, line: bytes | str) -> None:
        """Enter a line of a response's head into ``headers``."""
        self._header_parser.send((line, headers))

    def _on_hub_close(self, hub: Hub) -> None:
        self.close()

    def __enter__(self) -> BaseClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
