"""How long queues live that are not for ever: consumers, their leases, and deadlines.

A temporary queue has a deadline at the server, which moves while it is in use. Whoever consumes looks for queues whose
deadline is over, so that they go away also when everybody who knew them was killed:

- exclusive: with the connection, a lease after its last sign of life, or when ``x-expires`` says so;
- auto-delete: with its last consumer, a lease after its last sign of life; a day when there never was one;
- ``x-expires``: so long after its last consumer, declaration or ``basic_get``.
"""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from kombu.exceptions import AccessRefused, NotFound
from kombu.utils.deadline import remaining

from . import calls
from .mirror import locked
from .routes import Routes
from .rows import QueueValue, Source, load_queue, text
from .scripts import load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu.transport.virtual.routing import QueueSpec
    from kombu.transport.virtual.tables import Destination

    from .keys import Keys
    from .scripts import Script

__all__ = ("Lifetimes", "script")

#: Seconds that an auto-delete queue waits for its first consumer.
DAY = 86400.0

#: Seconds after which the owner of an exclusive queue counts as gone if somebody else wants to be it.
SIGN_OF_LIFE = 4.0


def script(name: str) -> Script:
    """The script ``lua/<name>.lua`` with what those of the topology share."""
    return calls.script(name, "common", "topology")


class Lifetimes(Routes):
    """Consumers and deadlines at the server, those of this connection kept alive."""

    _consume, _cancel, _touch = script("consume"), script("cancel"), script("touch")
    _overdue, _delete = script("overdue"), script("delete_queue")

    #: Queue -> this connection's consumers of it, as they are called at the server.
    _consuming: dict[str, list[str]]
    #: This connection's exclusive queues -> when they were last used, by the monotonic clock.
    _exclusive: dict[str, float]

    @property
    def owns_queues(self) -> bool:
        """Whether this connection has exclusive queues."""
        return bool(self._exclusive)

    @property
    def occupies(self) -> bool:
        """Whether this connection has consumers or exclusive queues, which keep others out."""
        return bool(self._consuming or self._exclusive)

    # -- consumers -----------------------------------------------------------------------------------------

    @locked
    def add_consumer(self, queue: str, tag: str, exclusive: bool = False) -> None:
        """Enter a consumer of this connection; its lease is renewed by :meth:`keep_consumers`.

        Raises:
            AccessRefused: another consumer is exclusive, or this one wants to be and is not the first.
            NotFound: the queue is gone.
        """
        name = f"{'x' if exclusive else 'c'}:{self.me}:{tag}"
        answer = self.client.request(self._lease(queue, [name], "exclusive" if exclusive else "new"))
        if answer == 0:
            reason = f"NOT_FOUND - no queue {queue!r} in vhost {self.state.vhost!r}"
            raise NotFound(reason, (60, 20), "Basic.consume")
        if answer == -1:
            reason = f"ACCESS_REFUSED - queue {queue!r} in vhost {self.state.vhost!r} in exclusive use"
            raise AccessRefused(reason, (60, 20), "Basic.consume")
        self._consuming.setdefault(queue, []).append(name)

    @locked
    def remove_consumer(self, queue: str, tag: str) -> int:
        """A consumer of this connection is gone; how many there are, of all connections."""
        names = self._consuming.get(queue, [])
        name = next((name for name in names if name[2:] == f"{self.me}:{tag}"), None)
        if name is None:
            return self.count_consumers(queue)
        names.remove(name)
        if not names:
            del self._consuming[queue]
        spec = self.state.queues.get(queue)
        after: float | str = ""
        if spec is not None:
            after = self._idle_time(spec)
            if queue in self._exclusive:
                self._exclusive[queue] = monotonic()
        keys = [self.keys.consumers(queue), self.keys.temporary_of(queue), self.keys.queues_of(queue)]
        return int(self.client.run(self._cancel, keys, [queue, name, after]))

    def count_consumers(self, queue: str) -> int:
        """How many consumers a queue has, of all connections."""
        seconds, micros = map(int, self.client.call("TIME"))
        return int(self.client.call("ZCOUNT", self.keys.consumers(queue), f"({seconds}.{micros:06}", "+inf"))

    def _lease(self, queue: str, names: list[str], how: str) -> bytes:
        spec = self.state.queues.get(queue)
        after: float | str = ""
        if spec is not None and (spec.exclusive or spec.auto_delete):
            after = 0
        elif spec is not None and spec.policy.expires is not None:
            after = spec.policy.expires
        known = "1" if self._specs.get(queue) else ""
        keys = [self.keys.consumers(queue), self.keys.queues_of(queue), self.keys.temporary_of(queue)]
        return self._consume.pack(keys, [queue, self.options.lease, how, known, after, *names])

    @locked
    def keep_consumers(self) -> None:
        """Renew the leases of this connection's consumers, and move the deadlines of what it uses."""
        packed = [self._lease(queue, names, "renew") for queue, names in self._consuming.items()]
        pairs: list[str | float] = []
        for queue, used in self._exclusive.items():
            spec = self.state.queues.get(queue)
            if spec is None or queue in self._consuming:
                continue
            left = self.options.lease
            if spec.policy.expires is not None:
                left = min(left, used + spec.policy.expires - monotonic())
            if left > 0:
                pairs += [queue, left]
        if pairs:
            packed += self._pack_touch(pairs)
        for (queue, _), answer in zip(
            list(self._consuming.items()), self.client.pipeline(packed), strict=False
        ):
            if answer == 0:
                self._consuming.pop(queue, None)
                self._sync_queue(queue, "")

    # -- owners ----------------------------------------------------------------------------------------------

    def show_life(self) -> None:
        """Say that the owner of this connection's exclusive queues lives; to be repeated well within its time."""
        self.client.run(load("mark"), [self.keys.owner(self.me)], ["1", int(SIGN_OF_LIFE * 1000), ""])

    def is_abandoned(self, owner: str) -> bool:
        """Whether a connection that owns exclusive queues is gone.

        Waits until it gives a sign of life, or until its time is over.
        That takes a third of :data:`SIGN_OF_LIFE` when it lives, and all of it when it is just dead.
        """
        left = before = int(self.client.call("PTTL", self.keys.owner(owner)))
        while 0 < left <= before:
            sleep(remaining(min(left / 1000, 0.1)) or 0)
            before, left = left, int(self.client.call("PTTL", self.keys.owner(owner)))
        return left <= 0

    # -- deadlines -----------------------------------------------------------------------------------------

    def _idle_time(self, spec: QueueSpec) -> float | str:
        """Seconds that a queue stays when nobody uses it, or "" when it always does."""
        expires = spec.policy.expires
        if spec.exclusive:
            lease = self.options.lease
            return lease if expires is None else min(lease, expires)
        if expires is not None:
            return expires
        return DAY if spec.auto_delete else ""

    @locked
    def touch(self, queues: Iterable[str], seconds: float | None = None) -> None:
        """These queues are in use: their deadlines move to ``seconds`` from now, or to what is due to each."""
        pairs: list[str | float] = []
        for queue in queues:
            spec = self.state.queues.get(queue)
            if queue in self._exclusive:
                self._exclusive[queue] = monotonic()
            if spec is not None and spec.policy.expires is not None:
                pairs += [queue, seconds if seconds is not None else self._idle_time(spec)]
        if pairs:
            self.client.pipeline(self._pack_touch(pairs))

    def _pack_touch(self, pairs: list[str | float]) -> list[bytes]:
        """The calls of touch.lua for these queues, each with the seconds it stays."""
        return [self._touch.pack([self.keys.temporary], pairs)]

    @locked
    def expire_temporary(self, limit: int = 100) -> list[str]:
        """Delete queues whose deadline is over, ``limit`` at the most; their names.

        One that is used again meanwhile stays.
        """
        found = self._find_overdue(limit)
        return [name for name in map(text, found) if self.remove_queue(name, expired=True) is not None]

    def _find_overdue(self, limit: int) -> list[bytes]:
        """Temporary queues whose deadline is over."""
        found: list[bytes] = self.client.run(self._overdue, [self.keys.temporary], [limit])
        return found

    @locked
    def remove_queue(
        self, name: str, *, unused: bool = False, empty: bool = False, expired: bool = False
    ) -> int | str | None:
        """Delete a queue at the server and here: how many messages it had, "used" or "full", None if it is kept.

        Arguments:
            unused, empty, expired: only if it has no consumers, has no messages, or its deadline is over.
        """
        answer = self._delete_queue(name, (unused, empty, expired))
        if isinstance(answer, bytes):
            return None if answer == b"kept" else text(answer)
        self._consuming.pop(name, None)
        self._exclusive.pop(name, None)
        self._forget_queue(name)
        self._after_unbinding(answer[1:])
        return int(answer[0])

    def _delete_queue(self, name: str, only: tuple[bool, bool, bool]) -> Any:
        """What delete_queue.lua answers."""
        return self._delete_with_bindings(self.keys, name, only)

    def _delete_with_bindings(self, keys: Keys, name: str, only: tuple[bool, bool, bool]) -> Any:
        while True:
            value, members = self.client.pipeline(
                [("HGET", keys.queues, name), ("SMEMBERS", keys.sources("queue", name))]
            )
            sources = {Source.from_json(text(member)): None for member in members}
            for exchange, key, arguments in self.state.bindings_of(("queue", name)):
                sources.setdefault(self.source(("queue", name), exchange, key, arguments))
            answer = self.client.request(
                self._pack_delete(keys, name, text(value), list(sources), len(members), only)
            )
            if answer != b"stale":
                return answer

    def _pack_delete(
        self,
        keys: Keys,
        name: str,
        value: str,
        sources: list[Source],
        members: int,
        only: tuple[bool, bool, bool],
    ) -> bytes:
        about = load_queue(value) if value else QueueValue(False, False, False, {})
        lists = keys.levels(name, about.arguments.get("x-max-priority"))
        others = [keys.delayed(name), keys.wake(name), keys.bytes(name), keys.cursors(name)]
        if only[2]:
            others.append(keys.undecodable(name))
        touched = [keys.queues, keys.temporary, keys.exchanges, keys.binding_deadlines, keys.expiring]
        touched += [keys.sources("queue", name), keys.consumers(name), *lists, *others]
        arguments: list[str | int] = [name, *("1" if flag else "" for flag in only)]
        arguments += [members, len(lists), len(others)]
        for source in sources:
            touched += [keys.binding(source.exchange), keys.binding_permanent(source.exchange)]
            touched.append(keys.bound(source.exchange))
            arguments += source
        return self._delete.pack(touched, arguments)

    # -- for the directory ---------------------------------------------------------------------------------

    def source(self, to: Destination, exchange: str, key: str, arguments: object) -> Source:
        raise NotImplementedError

    def _after_unbinding(self, changes: list[bytes | int]) -> None:
        raise NotImplementedError
