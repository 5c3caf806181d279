"""TLS: certificate and host name are verified unless the caller says otherwise."""

from __future__ import annotations

import ssl
from typing import Any

__all__ = ("Tls", "tls_from")

#: What ``ssl=`` may say as a mapping, as in the driver; ``context`` there is a mapping for ``create_default_context``.
_KNOWN = frozenset(
    (
        "keyfile",
        "certfile",
        "ca_certs",
        "cert_reqs",
        "server_hostname",
        "check_hostname",
        "ciphers",
        "ssl_version",
        "tls_maximum_version",
        "tls_minimum_version",
        "context",
        "do_handshake_on_connect",
        "suppress_ragged_eofs",
        "server_side",
        "password",
    )
)


class Tls:
    """A TLS context, and the name that the broker's certificate has to bear (None: the host connected to)."""

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
            :class:`ssl.SSLContext` is used as it is. A mapping says how: ``ca_certs``, ``certfile``, ``keyfile``
            (paths), ``password`` of the key, ``server_hostname`` where it is not the host's, ``ciphers``,
            ``tls_minimum_version``, ``tls_maximum_version``, ``check_hostname`` and ``cert_reqs``
            (``ssl.CERT_NONE`` switches all verification off); or ``context``, which is a context or a mapping
            for :func:`ssl.create_default_context`.

    Raises:
        ValueError: an unknown name in the mapping.
    """
    if not option:
        return None
    if isinstance(option, ssl.SSLContext):
        return Tls(option)
    settings = dict(option) if hasattr(option, "items") else {}
    unknown = sorted(set(settings) - _KNOWN)
    if unknown:
        raise ValueError(f"ssl has no option {', '.join(unknown)}; it has {', '.join(sorted(_KNOWN))}")
    hostname = settings.get("server_hostname")
    context = settings.get("context")
    if isinstance(context, ssl.SSLContext):
        return Tls(context, hostname)
    if context is not None:
        options = dict(context)
        check = options.pop("check_hostname", settings.get("check_hostname"))
        return Tls(_verifying(ssl.create_default_context(**options), check, None), hostname)
    return Tls(_from_settings(settings), hostname)


def _from_settings(settings: dict[str, Any]) -> ssl.SSLContext:
    version = settings.get("ssl_version")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if version is None else version)
    for name, attribute in (
        ("tls_minimum_version", "minimum_version"),
        ("tls_maximum_version", "maximum_version"),
    ):
        if settings.get(name) is not None:
            setattr(context, attribute, settings[name])
    if settings.get("certfile") is not None:
        context.load_cert_chain(settings["certfile"], settings.get("keyfile"), settings.get("password"))
    if settings.get("ciphers") is not None:
        context.set_ciphers(settings["ciphers"])
    if settings.get("ca_certs") is not None:
        context.load_verify_locations(settings["ca_certs"])
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return _verifying(context, settings.get("check_hostname"), settings.get("cert_reqs"))


def _verifying(
    context: ssl.SSLContext, check_hostname: bool | None, cert_reqs: Any | None
) -> ssl.SSLContext:
    """Switch verification on, unless both were asked to be weaker."""
    required = ssl.CERT_REQUIRED if cert_reqs is None else ssl.VerifyMode(cert_reqs)
    # (the order matters: no host name can be checked on a certificate that is not asked for)
    context.check_hostname = False
    context.verify_mode = required
    if required is not ssl.CERT_NONE and check_hostname is not False:
        context.check_hostname = True
    return context
