"""Where messages are pushed to, packed once and used for many messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kombu_redis.resp import pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_redis.keys import Keys
    from kombu_redis.resp import Argument
    from kombu_redis.scripts import Script

__all__ = ("Check", "Limits", "Outlet", "Stream", "Streams", "Target", "bulk", "bulks")


#: What must be so for a route to hold: (kind, key, field, expected). Kind "h": the field of a hash has that value (""
#: when missing); "s": the set has so many members, and there is no field.
Check = tuple[str, str, str, str | bytes | int]


class Limits(NamedTuple):
    """How much a queue may hold."""

    max_length: int | None = None
    max_bytes: int | None = None
    #: A full queue refuses what is new; else the oldest give way.
    refuses: bool = False
    #: What gives way is leased to the publisher, who makes dead letters of it; else it is dropped.
    buries: bool = False
    #: ``x-max-priority``, which says what lists the queue has.
    max_priority: int | None = None


class Target(NamedTuple):
    """A list to push to."""

    queue: str
    #: The key that :meth:`Keys.level` gives for the queue and the message's step.
    level: str
    limits: Limits | None = None


def bulk(argument: Argument) -> bytes:
    """One argument of a command."""
    return pack(argument)[4:]  # behind *1


def bulks(arguments: Sequence[Argument]) -> bytes:
    """Arguments of a command, without the number of them that goes before."""
    packed = pack(*arguments)
    return packed[packed.index(b"\n") + 1 :]


class Stream(NamedTuple):
    """A stream of broadcasts to append to; see ``lua/broadcast.lua``."""

    exchange: str
    #: JSON list of the queues that do not read this broadcast, since they have it already; "" for none.
    others: str = ""


class Streams(NamedTuple):
    """The streams that a message goes to, and what they have in common."""

    streams: tuple[Stream, ...]
    routing_key: str
    step: int
    #: Entries to keep, and milliseconds to keep them.
    length: int
    age: int

    def keys(self, keys: Keys) -> list[Argument]:
        """What push.lua touches."""
        return [
            key
            for stream in self.streams
            for key in (keys.stream(stream.exchange), keys.streamed(stream.exchange))
        ]

    def arguments(self, keys: Keys) -> list[Argument]:
        """What it is told."""
        found: list[Argument] = [len(self.streams), self.length, self.age, self.routing_key, self.step]
        for exchange, others in self.streams:
            found += (keys.bell(exchange), others)
        return found


class Outlet:
    """A route, ready for push.lua: everything but the payloads.

    Arguments:
        scripts: push.lua and push_plain.lua.
        targets: none when the message is only published.
        checks: see :class:`Check`.
        channel: pub/sub channel the message is published on as well.
        shared: all targets get the same payload; else each has its own, in the order of the targets.
        score: lease - visibility_timeout, in seconds.
        streams: those the message is appended to.
    """

    __slots__ = ("_heads", "_one", "limited", "shared", "targets")

    def __init__(
        self,
        scripts: tuple[Script, Script],
        keys: Keys,
        targets: Sequence[Target],
        checks: Sequence[Check],
        channel: str | None,
        shared: bool,
        score: float,
        streams: Streams | None = None,
    ) -> None:
        self.targets = tuple(targets)
        self.shared = shared or len(targets) + bool(streams) < 2
        self.limited = any(target.limits for target in targets)
        flags = ("l" if self.limited else "") + ("o" if self.shared else "") + ("b" if streams else "")
        names: list[Argument] = [key for _, key, _, _ in checks]
        names.append(keys.expiring)
        about: list[Argument] = [part for kind, _, *rest in checks for part in (kind, *rest)]
        if streams:
            names += streams.keys(keys)
            about += streams.arguments(keys)
        for target in targets:
            queue, level, limits = target
            names += (level, keys.wake(queue))
            if limits is None:
                about += (queue, 0)
                continue
            levels = keys.levels(queue, limits.max_priority)
            names += (keys.unacked(queue), keys.unacked_index(queue), keys.bytes(queue), *levels)
            about += (
                queue,
                len(levels),
                "" if limits.max_length is None else limits.max_length,
                "" if limits.max_bytes is None else limits.max_bytes,
                "1" if limits.refuses else "",
                "1" if limits.buries else "",
            )
        push, plain = scripts
        before = [*names, len(checks), len(targets)]
        after = [channel or "", score, *about]
        heads = {more: (push, len(names), [*before, flags + more, *after]) for more in ("", "s")}
        if len(targets) == 1 and plain is not push and not (self.limited or channel or streams):
            (target,) = targets
            names[len(checks) :] = [target.level, keys.wake(target.queue), keys.enlisted(target.queue)]
            heads[""] = (plain, len(names), [*names, len(checks), *about[: 3 * len(checks)]])
        #: By flag: the script, and of its arguments how many are keys, how many are the same each time, and those.
        self._heads = {
            more: (script, count, len(fixed), bulks(fixed)) for more, (script, count, fixed) in heads.items()
        }
        self._one = self._head(1, "")

    def _head(self, arguments: int, flag: str) -> bytes:
        script, keys, count, fixed = self._heads[flag]
        return script.head(keys, count + arguments) + fixed

    def pack(
        self, payloads: Sequence[bytes], stamps: Sequence[float | None] | None = None, lease: str = ""
    ) -> bytes:
        """The call for these payloads.

        Arguments:
            payloads: for each message one, or as many as there are targets unless they are shared, and then one for
                all streams.
            stamps: for each payload when it expires, in seconds since the epoch.
            lease: prefix of the tags of what has to give way, unique to this call.
        """
        if not self.limited and stamps is None and len(payloads) == 1:
            payload = payloads[0]
            return b"%b$%d\r\n%b\r\n" % (self._one, len(payload), payload)
        parts = [b""]
        if self.limited:
            parts.append(bulk(lease))
        if stamps is None:
            parts += [b"$%d\r\n%b\r\n" % (len(payload), payload) for payload in payloads]
            parts[0] = self._head(len(parts) - 1, "")
        else:
            for stamp, payload in zip(stamps, payloads, strict=True):
                text = b"" if stamp is None else b"%.6f" % stamp
                parts.append(b"$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(text), text, len(payload), payload))
            parts[0] = self._head(2 * len(payloads) + self.limited, "s")
        return b"".join(parts)
