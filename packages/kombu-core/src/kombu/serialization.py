"""Bodies to bytes and back: the registry of serializers.

A serializer has a name (``json``) and a content type (``application/json``) that travels with the message and
chooses the decoder on the other side. Only JSON and plain text are decoded unless the consumer accepts more: see
:func:`prepare_accept_content` and :func:`enable_insecure_serializers`. Serializers of other distributions come by the
entry-point group ``kombu.serializers``: each names a tuple (encoder, decoder, content type, content encoding),
which is loaded when that serializer is first missed.
"""

from __future__ import annotations

import os
from collections import namedtuple
from typing import TYPE_CHECKING, Any

from kombu import _codecs
from kombu._codecs import decode_text, pickle_loads, raw_encode, unpickle
from kombu._plugins import EntryPoints, PluginError, PluginNotFound
from kombu.exceptions import ContentDisallowed, DecodeError, EncodeError, SerializerNotInstalled
from kombu.utils import json as _json
from kombu.utils.encoding import bytes_to_str, str_to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

__all__ = (
    "SerializerRegistry",
    "codec",
    "disable_insecure_serializers",
    "dumps",
    "enable_insecure_serializers",
    "loads",
    "parenthesize_alias",
    "pickle_loads",
    "prepare_accept_content",
    "raw_encode",
    "register",
    "register_json",
    "register_msgpack",
    "register_pickle",
    "register_yaml",
    "registry",
    "unpickle",
    "unregister",
)

#: Content encodings whose payload stays bytes.
SKIP_DECODE = frozenset(("binary", "ascii-8bit"))
#: Content types that carry no objects: always passed on.
TRUSTED_CONTENT = frozenset(("application/data", "application/text"))
#: The pickle protocol to write; every Python that runs kombu 5 or 6 reads 4. ``PICKLE_PROTOCOL`` in the environment
#: or an assignment to this name chooses another.
pickle_protocol = int(os.environ.get("PICKLE_PROTOCOL", "4"))

#: What a name encodes with: content type, content encoding and the function.
codec = namedtuple("codec", ("content_type", "content_encoding", "encoder"))

NOTSET: Any = object()
_RAW_TYPES = frozenset(("application/data", "application/text", "text/plain"))


def __getattr__(name: str) -> Any:
    if name == "pickle":
        import pickle

        globals()["pickle"] = pickle
        return pickle
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def parenthesize_alias(first: str, second: str) -> str:
    """``first (second)``."""
    return f"{first} ({second})"


class SerializerRegistry:
    """Serializers by name and decoders by content type; :data:`registry` is the one everybody uses."""

    def __init__(self) -> None:
        self._encoders: dict[str, codec] = {}
        self._decoders: dict[str, Callable[[Any], Any]] = {}
        self._default_encode: Callable[[Any], Any] | None = None
        self._default_content_type: str | None = None
        self._default_content_encoding: str | None = None
        self._disabled_content_types: set[str] = set()
        self.type_to_name: dict[str, str] = {}
        self.name_to_type: dict[str, str] = {}
        self._plugins: EntryPoints | None = None
        self._plugins_loaded = True
        self._built_in: dict[str, codec] = {}

    def register(
        self,
        name: str,
        encoder: Callable[[Any], Any] | None,
        decoder: Callable[[Any], Any] | None,
        content_type: str,
        content_encoding: str = "utf-8",
    ) -> None:
        """Add the serializer ``name``, or replace it.

        Args:
            encoder: object -> bytes or text; None: this name only decodes.
            decoder: bytes, text or buffer -> object; None: this name only encodes.
            content_type: the MIME type that its messages carry.
            content_encoding: ``utf-8``, ``us-ascii`` or ``binary``: what the encoder returns.

        What a program registers itself it also decodes; :meth:`disable` leaves that to consumers that accept it, as
        it is for serializers found by entry point, for pickle, yaml and msgpack.
        """
        if encoder is not None:
            self._encoders[name] = codec(content_type, content_encoding, encoder)
        if decoder is not None:
            self._decoders[content_type] = decoder
        if decoder is not None or content_type not in self._decoders:
            self.type_to_name[content_type] = name
        self.name_to_type[name] = content_type

    def unregister(self, name: str) -> None:
        """Take a serializer out, by name or content type.

        Raises:
            SerializerNotInstalled: there is none.
        """
        name = self.type_to_name.get(name, name)
        content_type = self.name_to_type.pop(name, None)
        if content_type is None:
            raise SerializerNotInstalled(f"No encoder/decoder installed for {name}{self._known()}")
        self._encoders.pop(name, None)
        if self.type_to_name.get(content_type, name) == name:
            self.type_to_name.pop(content_type, None)
            self._decoders.pop(content_type, None)

    def enable(self, name: str) -> None:
        """Decode this name or content type without being asked to accept it; KeyError when the name is unknown."""
        self._disabled_content_types.discard(self._content_type_of(name))

    def disable(self, name: str) -> None:
        """Decode this name or content type only for consumers that accept it; KeyError when the name is unknown."""
        self._disabled_content_types.add(self._content_type_of(name))

    def _content_type_of(self, name: str) -> str:
        if "/" in name:
            if not self._plugins_loaded and name not in self.type_to_name:
                self._load_all_plugins()
            return name
        if name not in self.name_to_type:
            self._load_plugin(name)
        return self.name_to_type[name]

    def _set_default_serializer(self, name: str) -> None:
        """Encode with ``name`` when the caller names no serializer."""
        found = self._find_encoder(name)
        self._default_content_type, self._default_content_encoding, self._default_encode = found

    def dumps(self, data: Any, serializer: str | None = None) -> tuple[str, str, Any]:
        """``data`` encoded: (content type, content encoding, payload).

        Without ``serializer``, bytes and text are passed on as they are (``application/data`` and ``text/plain``) and
        anything else goes through the default serializer. ``raw`` takes nothing but bytes and text.

        Raises:
            SerializerNotInstalled: no such serializer.
            EncodeError: it cannot encode ``data``; the cause is chained.
        """
        content_type: Any
        content_encoding: Any
        encoder: Any
        if serializer == "raw":
            text = isinstance(data, str)
            content_type, content_encoding = "application/data", "utf-8" if text else "binary"
            encoder = _codecs.raw_bytes
        elif serializer:
            found = self._encoders.get(serializer) or self._find_encoder(serializer)
            content_type, content_encoding, encoder = found
        elif isinstance(data, bytes):
            return "application/data", "binary", data
        elif isinstance(data, str):
            content_type, content_encoding, encoder = "text/plain", "utf-8", str_to_bytes
        else:
            content_type = self._default_content_type
            content_encoding = self._default_content_encoding
            encoder = self._default_encode
            if encoder is None:
                raise SerializerNotInstalled("No default serializer is set")
        try:
            return content_type, content_encoding, encoder(data)
        except SerializerNotInstalled:
            raise
        except Exception as exc:
            raise EncodeError(f"cannot encode a {type(data).__name__} as {content_type}: {exc}") from exc

    def loads(
        self,
        data: Any,
        content_type: Any,
        content_encoding: str | None,
        accept: Collection[str] | None = None,
        force: bool = False,
        _trusted_content: Collection[str] = TRUSTED_CONTENT,
    ) -> Any:
        """The object that ``data`` (bytes, text or buffer) encodes, by its ``content_type``.

        Without a decoder for the type, text comes back as ``str`` by its ``content_encoding``, and bytes as they are
        when that is ``binary``. No content type at all means ``application/data``. An empty body of an encoded
        type comes back as it is.

        Args:
            accept: content types to decode; None: those that are enabled.
            force: decode types that are not enabled, too (when ``accept`` is None).

        Raises:
            ContentDisallowed: the type is not accepted.
            DecodeError: the body is not of that type; the cause is chained.
        """
        decode = self._decoders.get(content_type)
        if decode is None:
            content_type, decode = self._find_decoder(content_type)
        if accept is not None:
            if content_type not in _trusted_content and content_type not in accept:
                raise self._refusal(content_type, "untrusted")
        elif content_type in self._disabled_content_types and not force:
            raise self._refusal(content_type, "disabled")
        if not data and (content_type != "text/plain" or data is None):
            return data
        try:
            if decode is not None:
                return decode(data)
            if isinstance(data, str):
                return data
            encoding = (content_encoding or "utf-8").lower()
            return data if encoding in SKIP_DECODE else decode_text(data, encoding)
        except SerializerNotInstalled:
            raise
        except Exception as exc:
            raise DecodeError(f"cannot decode the body as {content_type}: {exc}") from exc

    def _find_decoder(self, content_type: Any) -> tuple[str, Callable[[Any], Any] | None]:
        """The content type as text, and its decoder if it has one, here or in a distribution that is installed."""
        if not content_type:
            content_type = "application/data"
        elif isinstance(content_type, bytes):
            content_type = bytes_to_str(content_type)
        if not self._plugins_loaded and content_type not in self._decoders and content_type not in _RAW_TYPES:
            self._load_all_plugins()
        return content_type, self._decoders.get(content_type)

    def _refusal(self, content_type: str, what: str) -> ContentDisallowed:
        name = self.type_to_name.get(content_type, content_type)
        return ContentDisallowed(
            f"Refusing to deserialize {what} content of type {parenthesize_alias(name, content_type)}: "
            f"a consumer that trusts its senders takes it with accept=[{name!r}]"
        )

    def _find_encoder(self, name: str) -> codec:
        found = self._encoders.get(name)
        if found is None and name not in self.name_to_type:
            self._load_plugin(name)
            found = self._encoders.get(name)
        if found is None:
            raise SerializerNotInstalled(f"No encoder installed for {name}{self._known()}")
        return found

    def _known(self) -> str:
        return f"; installed: {', '.join(sorted(self.name_to_type))}"

    def _use_plugins(self, group: str) -> None:
        self._plugins, self._plugins_loaded = EntryPoints(group), False
        self._built_in = dict(self._encoders)

    def warn_of_ignored(self) -> None:
        """Say in the log which installed serializers are not used because a built-in one has their name."""
        if self._plugins is not None:
            used = (name for name, built_in in self._built_in.items() if self._encoders.get(name) is built_in)
            self._plugins.warn_of_ignored(used, "kombu.serialization.register")

    def _load_plugin(self, name: str) -> None:
        """Register the installed serializer ``name``, if there is one."""
        if self._plugins is None or not isinstance(name, str):
            return
        try:
            encoder, decoder, content_type, content_encoding = self._plugins.load(name)
        except PluginNotFound:
            return
        except (TypeError, ValueError) as exc:
            raise PluginError(
                f"serializer {name!r} of {self._plugins.distribution(name)} is not a tuple (encoder, decoder, "
                f"content type, content encoding)"
            ) from exc
        # Being installed is not being trusted.
        if content_type not in self._decoders:
            self._disabled_content_types.add(content_type)
        self.register(name, encoder, decoder, content_type, content_encoding)

    def _load_all_plugins(self) -> None:
        """Register every installed serializer: only loading them tells their content types."""
        for name in self._plugins.names() if self._plugins is not None else ():
            if name in self.name_to_type:
                continue
            try:
                self._load_plugin(name)
            except PluginError as exc:
                import logging

                logging.getLogger("kombu.serialization").warning("serializer not available: %s", exc)
        self._plugins_loaded = True


def prepare_accept_content(
    content_types: Iterable[str] | None, name_to_type: Mapping[str, str] | None = None
) -> set[str] | None:
    """The set of content types for a mix of serializer names and content types; None stays None.

    Raises:
        SerializerNotInstalled: a name that nobody has registered.
    """
    if content_types is None:
        return None
    if isinstance(content_types, str):
        content_types = [content_types]
    accepted = set()
    for name in content_types:
        if "/" in name:
            accepted.add(name)
            continue
        try:
            accepted.add(registry._content_type_of(name) if name_to_type is None else name_to_type[name])
        except KeyError:
            raise SerializerNotInstalled(
                f"No encoder/decoder installed for {name}{registry._known()}"
            ) from None
    return accepted


def enable_insecure_serializers(choices: Any = NOTSET) -> None:
    """Decode these serializers (names or content types; pickle, yaml and msgpack when not given) for every consumer.

    pickle runs whatever its sender wants: enable it only where every sender is trusted.
    """
    for choice in ("pickle", "yaml", "msgpack") if choices is NOTSET else choices or ():
        try:
            registry.enable(choice)
        except KeyError:
            pass


def disable_insecure_serializers(allowed: Any = NOTSET) -> None:
    """Decode only the ``allowed`` serializers (names or content types; json when not given); None allows none.

    Producers can still encode with all of them.
    """
    for name in registry._decoders:
        registry.disable(name)
    for choice in ("json",) if allowed is NOTSET else allowed or ():
        registry.enable(choice)


def _pickle_dumps(obj: Any) -> bytes:
    return _codecs.pickle_dumps(obj, pickle_protocol)


def register_json() -> None:
    """Register ``json``, and ``json-plain`` which encodes without type markers."""
    registry.register("json", _json._dump, _json._load, "application/json", "utf-8")
    registry.register("json-plain", _json.dumps_plain, None, "application/json", "utf-8")


def register_pickle() -> None:
    """Register ``pickle``."""
    registry.register("pickle", _pickle_dumps, unpickle, "application/x-python-serialize", "binary")


def register_yaml() -> None:
    """Register ``yaml``; PyYAML is imported when first used."""
    both = _codecs.Yaml()
    registry.register("yaml", both.dumps, both.loads, "application/x-yaml", "utf-8")


def register_msgpack() -> None:
    """Register ``msgpack``; the library is imported when first used."""
    registry.register("msgpack", _codecs.msgpack_dumps, _codecs.msgpack_loads, "application/x-msgpack", "binary")


#: The serializers of this process.
registry = SerializerRegistry()
dumps = registry.dumps
loads = registry.loads
register = registry.register
unregister = registry.unregister

register_json()
register_pickle()
register_yaml()
register_msgpack()
registry._set_default_serializer("json")
disable_insecure_serializers()
registry._use_plugins("kombu.serializers")
