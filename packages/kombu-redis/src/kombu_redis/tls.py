"""TLS: certificate and host name are verified unless the caller says otherwise."""

from __future__ import annotations

import ssl
from typing import Any

__all__ = ("Tls", "tls_from")

#: What ``ssl=`` may say as a mapping, each also with ``ssl_`` before it, as in URLs and in redis-py.
_KNOWN = frozenset(
    (
        "ca_certs",
        "ca_data",
        "ca_path",
        "cert_reqs",
        "certfile",
        "check_hostname",
        "ciphers",
        "context",
        "keyfile",
        "maximum_version",
        "min_version",
        "minimum_version",
        "password",
        "server_hostname",
    )
)

_VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


class Tls:
    """A TLS context, and the name that the server's certificate has to bear (None: the host connected to)."""

    def __init__(self, context: ssl.SSLContext, server_hostname: str | None = None) -> None:
        self.context = context
        self.server_hostname = server_hostname

    def wrap(self, sock: Any, host: str) -> ssl.SSLSocket:
        """Shake hands, within the socket's timeout.

        Raises:
            ssl.SSLCertVerificationError: the certificate is expired, not signed by a trusted authority, or
                another host's.
        """
        return self.context.wrap_socket(sock, server_hostname=self.server_hostname or host)


def tls_from(option: Any) -> Tls | None:
    """What the ``ssl`` option of a connection asks for.

    Arguments:
        option: False or None is no TLS. True verifies against the system's authorities. An
            :class:`ssl.SSLContext` is used as it is. A mapping says how: ``ca_certs``, ``ca_path`` (paths) or
            ``ca_data``, ``certfile``, ``keyfile`` and its ``password``, ``server_hostname`` where it is not the
            host's, ``ciphers``, ``minimum_version``, ``maximum_version``, ``check_hostname`` and ``cert_reqs``
            (``none`` switches all verification off); or ``context``. Each may have ``ssl_`` before it.

    Raises:
        ValueError: an unknown name in the mapping, or value of ``cert_reqs``.
    """
    if not option:
        return None
    if isinstance(option, ssl.SSLContext):
        return Tls(option)
    given = dict(option) if hasattr(option, "items") else {}
    settings = {name.removeprefix("ssl_"): value for name, value in given.items()}
    unknown = sorted(set(settings) - _KNOWN)
    if unknown:
        raise ValueError(f"ssl has no option {', '.join(unknown)}; it has {', '.join(sorted(_KNOWN))}")
    hostname = settings.get("server_hostname")
    context = settings.get("context")
    return Tls(context if isinstance(context, ssl.SSLContext) else _context(settings), hostname)


def _context(settings: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    minimum = settings.get("minimum_version") or settings.get("min_version")
    if minimum is not None:
        context.minimum_version = minimum
    if settings.get("maximum_version") is not None:
        context.maximum_version = settings["maximum_version"]
    if settings.get("certfile") is not None:
        context.load_cert_chain(settings["certfile"], settings.get("keyfile"), settings.get("password"))
    if settings.get("ciphers") is not None:
        context.set_ciphers(settings["ciphers"])
    authorities = [settings.get(name) for name in ("ca_certs", "ca_path", "ca_data")]
    if any(authorities):
        context.load_verify_locations(*authorities)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    mode = _verify_mode(settings.get("cert_reqs"))
    # (the order matters: no host name can be checked on a certificate that is not asked for)
    context.check_hostname = False
    context.verify_mode = mode
    context.check_hostname = mode is not ssl.CERT_NONE and settings.get("check_hostname") is not False
    return context


def _verify_mode(value: Any) -> ssl.VerifyMode:
    if value is None:
        return ssl.CERT_REQUIRED
    if isinstance(value, str):
        name = value.lower().removeprefix("cert_")
        if name not in _VERIFY:
            raise ValueError(f"ssl_cert_reqs is {value!r}; expected one of {', '.join(_VERIFY)}")
        return _VERIFY[name]
    return ssl.VerifyMode(value)
