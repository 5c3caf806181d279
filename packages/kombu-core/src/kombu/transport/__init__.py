"""Finding a transport: a class, a dotted path, an alias, an entry point, or a hint what to install.

A distribution offers transports in the entry-point group ``kombu.transports``, one entry a URL scheme::

    [project.entry-points."kombu.transports"]
    redis = "kombu_redis:Transport"

A program can do the same for itself by adding to :data:`TRANSPORT_ALIASES`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from kombu.exceptions import TransportNotFound

if TYPE_CHECKING:
    from kombu._plugins import EntryPoints

__all__ = ("TRANSPORT_ALIASES", "get_transport_cls", "resolve_transport", "supports_librabbitmq")

#: Scheme -> class or dotted path, for the running program; looked at before installed entry points.
TRANSPORT_ALIASES: dict[str, str | type[Any]] = {}

#: What is used when neither a URL nor ``transport=`` says anything.
DEFAULT_TRANSPORT = "amqp"

#: Scheme -> the distribution that is known to ship it; only ever used to word an error.
INSTALL_HINTS = {
    "memory": "kombu-memory",
    **dict.fromkeys(
        (
            "redis",
            "rediss",
            "redis+socket",
            "redis+cluster",
            "rediss+cluster",
            "valkey",
            "valkeys",
            "sentinel",
        ),
        "kombu-redis",
    ),
    **dict.fromkeys(("amqp", "amqps", "pyamqp"), "kombu-amqp"),
    **dict.fromkeys(("sqs", "SQS"), "kombu-sqs"),
}

#: Schemes of kombu 5 that nobody ships for this version, as far as we know; an installed one goes before.
GONE = (
    "azureservicebus azurestoragequeues confluentkafka consul etcd filesystem gcpubsub kafka librabbitmq mongodb pgmq"
    " pyro qpid slmq SLMQ sqla sqlalchemy zookeeper"
)

_entry_points: EntryPoints | None = None


def _installed() -> EntryPoints:
    """The entry points of the group ``kombu.transports``, read when first needed."""
    global _entry_points
    if _entry_points is None:
        from kombu._plugins import EntryPoints
        from kombu.serialization import registry

        _entry_points = EntryPoints("kombu.transports")
        registry.warn_of_ignored()  # here, since the metadata of distributions are read now anyway
    return _entry_points


def is_known(scheme: str) -> bool:
    """Whether ``scheme`` as a whole names a transport, so that a ``+`` in it separates nothing."""
    return scheme in TRANSPORT_ALIASES or scheme in INSTALL_HINTS or scheme in _installed().names()


def resolve_transport(transport: Any = None) -> Any:
    """The class that ``transport`` stands for.

    Arguments:
        transport: a class, returned as it is (so is None); a function, called for one of the others; a dotted path
            ``package.module:Class`` or ``package.module.Class``; or a scheme.

    Raises:
        TransportNotFound: nothing provides the scheme; the message says what to install.
    """
    if isinstance(transport, str):
        return _by_name(transport)
    if callable(transport) and not isinstance(transport, type):
        return resolve_transport(transport())
    return transport


def get_transport_cls(transport: Any = None) -> Any:
    """The transport class for a scheme, a dotted path or a class; see :func:`resolve_transport`."""
    return resolve_transport(transport)


def supports_librabbitmq() -> bool | None:
    """None: the C client is not supported any more; kept for programs that ask."""
    return None


def _by_name(name: str) -> Any:
    target = TRANSPORT_ALIASES.get(name)
    if target is not None:
        return resolve_transport(target)
    if "." in name or ":" in name:
        return _import(name)
    installed = _installed()
    if name not in installed.names():
        raise _not_found(name)
    found = installed.load(name)
    if not callable(found):
        raise TransportNotFound(
            f"{name!r}, as distribution {installed.distribution(name)} provides it, is not a transport class"
            f" but {type(found).__name__}: its entry point should be module:Class"
        )
    return found


def _import(path: str) -> type[Any]:
    module, _, attribute = path.rpartition(":" if ":" in path else ".")
    found = getattr(import_module(module), attribute, None)
    if not isinstance(found, type):
        raise TransportNotFound(f"{path!r} is not a transport class; write package.module:Class")
    return found


def _not_found(scheme: str) -> TransportNotFound:
    distribution = INSTALL_HINTS.get(scheme)
    if distribution is not None:
        return TransportNotFound(f"no transport {scheme!r} is installed: pip install {distribution}")
    where = (
        "Schemes come from installed distributions (entry-point group kombu.transports), from"
        " kombu.transport.TRANSPORT_ALIASES, or give the class as transport=."
    )
    if scheme in GONE.split():
        return TransportNotFound(f"no such transport: {scheme!r}, which kombu 5 had, is not in kombu 6. {where}")
    from difflib import get_close_matches

    installed = _installed().names()
    near = get_close_matches(
        scheme, sorted({*TRANSPORT_ALIASES, *installed, *INSTALL_HINTS}), n=3, cutoff=0.6
    )
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    missing = sorted(
        {INSTALL_HINTS[name] for name in near if name in INSTALL_HINTS and name not in installed}
    )
    how = f" (pip install {' or '.join(missing)})" if missing else ""
    return TransportNotFound(f"no such transport: {scheme!r}.{meant}{how} {where}")


def alias_module(name: str, target: str, distribution: str) -> None:
    """Make the historic module ``name`` the same object as the plugin's module ``target``.

    Raises:
        ModuleNotFoundError: the distribution is not installed; the message says so. An error inside the plugin
            is passed on unchanged.
    """
    try:
        module = import_module(target)
    except ModuleNotFoundError as exc:
        if exc.name != target:
            raise
        raise ModuleNotFoundError(f"{name} ships separately: pip install {distribution}", name=name) from None
    sys.modules[name] = module
