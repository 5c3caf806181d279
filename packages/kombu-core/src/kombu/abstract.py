"""Declarations that are plain values until they are bound to a channel.

An :class:`Object` is what its ``attrs`` say: it is copied, pickled and turned into a dictionary by them. A
:class:`MaybeChannelBound` is such a value that, once bound, also talks to the broker.
"""

from __future__ import annotations

import warnings
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from kombu.exceptions import NotBoundError
from kombu.utils.functional import ChannelPromise

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

__all__ = ("MaybeChannelBound", "Object")

_T = TypeVar("_T")


def unpickle_dict(cls: Callable[..., _T], kwargs: dict[str, Any]) -> _T:
    """Rebuild a pickled declaration; pickles name this function, also those of kombu 5."""
    return cls(**kwargs)


class Object:
    """A value made of the attributes named in ``attrs``.

    ``attrs`` lists ``(name, convert)``; ``convert`` (or None) is applied to every value that is not None.
    A name that was not given falls back to the class attribute of that name, else to None.
    """

    attrs: ClassVar[tuple[tuple[str, Callable[[Any], Any] | None], ...]] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        for name, convert in self.attrs:
            value = kwargs.get(name)
            if value is not None:
                setattr(self, name, convert(value) if convert is not None else value)
            elif not hasattr(self, name):
                setattr(self, name, None)

    def as_dict(self, recurse: bool = False) -> dict[str, Any]:
        """The attributes by name; with ``recurse`` nested declarations become dictionaries too."""
        found: dict[str, Any] = {}
        for name, convert in self.attrs:
            value = getattr(self, name)
            if convert is not None and value is not None:
                value = convert(value)
            found[name] = _plain(value) if recurse else value
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return unpickle_dict, (self.__class__, self.as_dict())

    def __copy__(self) -> Self:
        return self.__class__(**self.as_dict())


def warn_of_unknown(kind: type[Object], options: dict[str, Any]) -> None:
    """Tell whoever declares an exchange or a queue of options that are none; they are ignored, as ever."""
    known = [name for name, _ in kind.attrs]
    unknown = [option for option in options if option not in known]
    if unknown:
        warnings.warn(
            f"{kind.__name__} has no option {', '.join(map(repr, unknown))} (ignored); it has {', '.join(known)}",
            stacklevel=3,
        )


def _plain(value: Any) -> Any:
    if isinstance(value, Object):
        return value.as_dict(recurse=True)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def is_connection(channel: Any) -> bool:
    """Whether a connection was given in the place of a channel; finding out opens nothing."""
    return hasattr(type(channel), "default_channel") or "default_channel" in getattr(channel, "__dict__", ())


def channel_of(channel: Any) -> Any:
    """The channel itself, or the default channel when a connection was given."""
    return channel.default_channel if is_connection(channel) else channel


class MaybeChannelBound(Object):
    """A declaration that may be bound to a channel, and only then has operations."""

    _channel: Any = None
    _is_bound = False

    #: Whether one declaration a connection is enough, because the entity does not go away by itself.
    can_cache_declaration: Any = False

    def __call__(self, channel: Any) -> Self:
        """The same as :meth:`bind`."""
        return self.bind(channel)

    def bind(self, channel: Any) -> Self:
        """A copy that is bound to ``channel`` (or to the default channel of a connection)."""
        return copy(self).maybe_bind(channel)

    def maybe_bind(self, channel: Any) -> Self:
        """Bind this very object, unless it is bound or ``channel`` is None."""
        if not self._is_bound and channel is not None:
            self._channel = channel_of(channel)
            self.when_bound()
            self._is_bound = True
        return self

    def revive(self, channel: Any) -> None:
        """Go on with another channel, after the connection was lost and established again."""
        if self._is_bound:
            self._channel = channel_of(channel)
            self.when_bound()

    def when_bound(self) -> None:
        """Called whenever a channel was set, for subclasses."""

    def _repr_entity(self, item: str) -> str:
        item = item or type(self).__name__
        if not self._is_bound:
            return f"<unbound {item}>"
        if isinstance(self._channel, ChannelPromise):
            return f"<{item} bound to a channel not opened yet>"
        return f"<{item} bound to chan:{getattr(self._channel, 'channel_id', None) or '?'}>"

    @property
    def is_bound(self) -> bool:
        """Whether there is a channel."""
        return self._is_bound and self._channel is not None

    @property
    def channel(self) -> Any:
        """The channel.

        Raises:
            NotBoundError: there is none.
        """
        channel = self._channel
        if channel is None:
            kind = type(self).__name__
            raise NotBoundError(
                f"Can't call method on {kind} not bound to a channel: {self!r}."
                f" Bind it first: {kind.lower()}(channel)"
            )
        if isinstance(channel, ChannelPromise):
            channel = self._channel = channel()
        return channel
