"""Messages on a cluster: each call goes to the shards it is about, to all their nodes before one reply is read.

What touches one shard is as on a single server. A message that goes to queues of several shards gets to each of them in
a step of its own; :mod:`.moving` says how one leaves its shard for another.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from kombu.log import get_logger
from kombu_redis import errors
from kombu_redis.calls import MOST
from kombu_redis.claiming import Claimed, pack_claim
from kombu_redis.moving import dues
from kombu_redis.store import DONE, Pushed

from .moving import ClusterMoves
from .outlet import ClusterOutlet, Part, checks_of, pack_check
from .slots import SHARDS, shard_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kombu_redis.moving import Due
    from kombu_redis.replies import Leased, Unreadable
    from kombu_redis.store import Check, Source, Target

    from .shard import ShardStore

__all__ = ("ClusterStore",)

logger = get_logger(__name__)

#: What a part of the cluster may answer while others work.
TROUBLE = (errors.ConnectionLost, errors.NoReply, errors.Unavailable)


class ClusterStore(ClusterMoves):
    """As :class:`kombu_redis.store.Store`."""

    #: Those shards that could not be claimed from, and since when there are any, by the monotonic clock.
    _down: frozenset[int] = frozenset()
    _down_since: float | None = None
    #: There are consumers of several shards: while one of those cannot be reached they have what others bring.
    is_for_many = False

    # -- into the lists ------------------------------------------------------------------------------------

    def outlet(
        self,
        targets: Sequence[Target],
        checks: Sequence[Check] = (),
        channel: str | None = None,
        *,
        shared: bool = False,
        streams: None = None,
    ) -> ClusterOutlet:
        """A route to push to; worth keeping. There are no streams on a cluster."""
        return ClusterOutlet(self.shard, self._keys.prefix, targets, checks, channel, shared)

    def push(
        self, outlet: ClusterOutlet, payloads: Sequence[bytes], stamps: Sequence[float | None] | None = None
    ) -> Pushed:
        """Append messages, if the topology is what they were routed by; each shard looks after its own queues."""
        if outlet.check is not None:
            failed = self._client.request(outlet.check)
            if failed:
                return Pushed(stale=failed - 1)
        if outlet.channel is not None:
            width = 1 if outlet.shared else len(outlet.targets)
            for payload in payloads[::width]:
                self.broadcast(outlet.channel, payload)
        if len(outlet.parts) == 1:
            part = outlet.parts[0]
            return part.store.push(part.outlet, payloads, stamps)
        return self._push_parts(outlet, payloads, stamps)

    def _push_parts(
        self, outlet: ClusterOutlet, payloads: Sequence[bytes], stamps: Sequence[float | None] | None
    ) -> Pushed:
        calls, leases = [], []
        for part in outlet.parts:
            some = outlet.payloads(part, payloads)
            times = None if stamps is None else outlet.payloads(part, stamps)
            leases.append(part.store.new_prefix() if part.outlet.limited else "")
            calls.append((part.store, part.outlet.pack(some, times, leases[-1])))
        found = []
        for part, lease, reply in zip(outlet.parts, leases, self._publish(calls), strict=True):
            if isinstance(reply, Exception):
                raise reply
            found.append((part, part.store.pushed(part.outlet, lease, reply)))
        return _together(found)

    def _publish(self, calls: Sequence[tuple[ShardStore, bytes]]) -> list[Any]:
        """As :meth:`scatter`; returns when as many replicas have it as the option ``wait_replicas`` says."""
        with self._client.lock:
            replies = self.scatter(calls)
            if self._options.wait_replicas:
                nodes = {store.line.connects: store for store, _ in calls}
                for store in nodes.values():
                    store.await_copies()
        return replies

    def push_many(
        self, batch: Iterable[tuple[ClusterOutlet, Sequence[bytes], Sequence[float | None] | None]]
    ) -> list[Pushed | Exception]:
        """As :meth:`push` for several outlets of one target each, in two round trips."""
        batch = list(batch)
        checks = list(dict.fromkeys(outlet.check for outlet, _, _ in batch if outlet.check is not None))
        answers = dict(zip(checks, self._client.attempt(checks), strict=True))
        done: list[Pushed | Exception] = []
        calls, waiting = [], []
        for outlet, payloads, stamps in batch:
            failed = answers[outlet.check] if outlet.check is not None else 0
            if failed == 0:
                (part,) = outlet.parts
                calls.append((part.store, part.outlet.pack(payloads, stamps)))
                waiting.append((len(done), part))
            done.append(failed if isinstance(failed, Exception) else Pushed(stale=failed))
        for (at, part), reply in zip(waiting, self._publish(calls), strict=True):
            done[at] = reply if isinstance(reply, Exception) else part.store.pushed(part.outlet, "", reply)
        for result in done:
            if isinstance(result, (errors.ConnectionLost, errors.NoReply)):
                raise result
        return done

    def push_delayed(
        self,
        targets: Sequence[tuple[Target, bytes, float | None]],
        due: float,
        checks: Sequence[Check] = (),
    ) -> Pushed:
        """Append a message to queues when ``due``."""
        check = pack_check(checks, self._keys.prefix)
        if check is not None:
            failed = self._client.request(check)
            if failed:
                return Pushed(stale=failed - 1)
        shards: dict[int, list[tuple[Target, bytes, float | None]]] = {}
        for target in targets:
            shards.setdefault(shard_of(target[0].queue), []).append(target)
        reached: list[str] = []
        for number, some in shards.items():
            queues = [target.queue for target, _, _ in some]
            done = self.shard(number).push_delayed(some, due, checks_of(checks, queues))
            if done.stale is not None:
                return done._replace(reached=frozenset(reached))
            reached += queues
        return DONE

    def broadcast(self, channel: str, payload: bytes) -> None:
        """Publish on a channel of its slot; with Redis before 7, on all nodes."""
        if self._sharded:
            try:
                self._client.call("SPUBLISH", channel, payload)
            except errors.CommandError as exc:
                if "unknown command" not in str(exc):
                    raise
                self._sharded = False
        if not self._sharded:
            self._client.call("PUBLISH", channel, payload)

    # -- out of the lists ----------------------------------------------------------------------------------

    def claim(
        self,
        sources: tuple[Source, ...],
        limits: Sequence[int],
        prefix: str,
        first: int,
        limit: int = MOST,
    ) -> Claimed:
        """Take messages of several queues into the lease; a shard after the other when there is a limit for all.

        Then, and for consumers of a single shard, one that cannot be reached is an error at once.
        """
        shards: dict[int, list[int]] = {}
        for at, source in enumerate(sources):
            shards.setdefault(shard_of(source.queue), []).append(at)
        found: list[Claimed] = []
        left = limit
        calls = []
        one_by_one = limit < MOST or (len(shards) == 1 and not self.is_for_many)
        for number, ats in shards.items():
            store = self.shard(number)
            some, rooms = tuple(sources[at] for at in ats), [limits[at] for at in ats]
            tags = f"{number}.{prefix}"
            if one_by_one:
                if left > 0:
                    found.append(store.claim(some, rooms, tags, first, limit=left))
                    left -= len(found[-1].messages) + len(found[-1].unreadable)
                continue
            claim = store.prepared(some, tags)
            calls.append((store, claim, pack_claim(claim, rooms, first)))
        replies = self.scatter([(store, packed) for store, _, packed in calls], wait=False)
        troubles: dict[int, Exception] = {}
        for (store, claim, _), reply in zip(calls, replies, strict=True):
            if isinstance(reply, Exception):
                troubles[store.number] = reply
            else:
                found.append(store.claimed(reply, claim, first))
        joined = _joined(found, first)
        self._note_troubles(troubles, shards.keys(), bool(joined.messages or joined.unreadable))
        return joined

    def _note_troubles(self, troubles: dict[int, Exception], asked: Iterable[int], found: bool) -> None:
        """Of several queues those that can be reached are read, while a replica takes over for the others."""
        self._down = self._down.difference(asked).union(troubles)
        if not self._down:
            self._down_since = None
        if not troubles:
            return
        now = monotonic()
        trouble = next(iter(troubles.values()))
        if self._down_since is None:
            self._down_since = now
            logger.warning("Nothing comes from a part of the queues, the others are read: %s", trouble)
        patient = now - self._down_since <= self._options.socket_timeout
        if not found and not (patient and isinstance(trouble, TROUBLE)):
            self._down_since = None
            raise trouble

    def expire(
        self, queue: str, max_priority: int | None = None, limit: int = 100, look_again: float = 5.0
    ) -> tuple[list[Leased], list[Unreadable]]:
        """Take expired messages from the front of a queue into the lease."""
        return self.of(queue).expire(queue, max_priority, limit, look_again)

    # -- time ----------------------------------------------------------------------------------------------

    def fetch_due(self, limit: int = 100) -> list[Due]:
        """Entries whose lease is over, of all shards that can be reached."""
        stores = [self.shard(number) for number in range(SHARDS)]
        replies = self.reachable([(store, store.pack_fetch_due(limit)) for store in stores])
        return [due for reply in replies for due in dues(reply)]

    def due_to_expire(self, limit: int = 100) -> list[str]:
        """Queues of which a message may have expired."""
        stores = [self.shard(number) for number in range(SHARDS)]
        replies = self.reachable([(store, store.pack_due(store.keys.expiring, limit)) for store in stores])
        return [name.decode() for reply in replies for name in reply]

    def reachable(self, calls: Sequence[tuple[ShardStore, bytes]]) -> list[Any]:
        """The replies of the shards that have one: a part that is down must not keep the others from working."""
        found = []
        for reply in self.scatter(calls, wait=False):
            if isinstance(reply, TROUBLE):
                logger.debug("A part of the cluster is left out: %s", reply)
            elif isinstance(reply, Exception):
                raise reply
            else:
                found.append(reply)
        return found

    # -- queues --------------------------------------------------------------------------------------------

    def size(self, queue: str, max_priority: int | None = None) -> int:
        """How many messages are ready."""
        return self.of(queue).size(queue, max_priority)

    def size_bytes(self, queue: str, max_priority: int | None = None) -> int:
        """Bytes of the bodies that are ready."""
        return self.of(queue).size_bytes(queue, max_priority)

    def purge(self, queue: str, max_priority: int | None = None) -> int:
        """Remove what is ready; how many messages that were."""
        return self.of(queue).purge(queue, max_priority)

    def pass_on(self, token: str) -> None:
        """Wake the next who waits, in place of somebody who has no use for it."""
        self._client.run(self.shard(0)._script("wake", "common"), [token])


def _together(found: Sequence[tuple[Part, Pushed]]) -> Pushed:
    """What has become of a message that went to several shards."""
    refused = [(message, part.ats[at]) for part, done in found for message, at in done.refused]
    dropped = [each for _, done in found for each in done.dropped]
    unreadable = [each for _, done in found for each in done.unreadable]
    lost = sum(done.lost for _, done in found)
    stale = next((done.stale for _, done in found if done.stale is not None), None)
    reached: frozenset[str] = frozenset()
    if stale is not None:
        took = [part for part, done in found if done.stale is None]
        reached = frozenset(target.queue for part in took for target in part.outlet.targets)
    return Pushed(stale, refused, dropped, unreadable, lost, reached)


def _joined(found: Sequence[Claimed], first: int) -> Claimed:
    if len(found) == 1:
        return found[0]
    return Claimed(
        [each for claimed in found for each in claimed.messages],
        [each for claimed in found for each in claimed.unreadable],
        [each for claimed in found for each in claimed.stale],
        [each for claimed in found for each in claimed.promoted],
        max((claimed.next for claimed in found), default=first),
    )
