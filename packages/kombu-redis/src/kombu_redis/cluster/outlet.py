"""Where messages are pushed to on a cluster: an outlet for each shard, and a look at the topology before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kombu_redis.calls import script
from kombu_redis.store import Check, Outlet, Target

from .slots import shard_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .shard import ShardStore

__all__ = ("ClusterOutlet", "Part", "pack_check")


class Part(NamedTuple):
    """The targets in one shard."""

    store: ShardStore
    #: Indexes of the targets.
    ats: tuple[int, ...]
    outlet: Outlet


class ClusterOutlet:
    """As :class:`~kombu_redis.outlet.Outlet`, over several slots.

    Arguments:
        store: gives the store of a shard.
        home: what the keys of the topology begin with.
    """

    __slots__ = ("channel", "check", "limited", "parts", "shared", "targets")

    def __init__(
        self,
        store: Callable[[int], ShardStore],
        home: str,
        targets: Sequence[Target],
        checks: Sequence[Check],
        channel: str | None,
        shared: bool,
    ) -> None:
        self.targets = tuple(targets)
        self.shared = shared or len(targets) < 2
        self.channel = channel
        self.limited = any(target.limits for target in targets)
        #: The call of check.lua, None when the topology plays no part.
        self.check = pack_check(checks, home)
        ats: dict[int, list[int]] = {}
        for at, target in enumerate(self.targets):
            ats.setdefault(shard_of(target.queue), []).append(at)
        self.parts = tuple(
            Part(store(shard), tuple(some), self._outlet(store(shard), some, checks))
            for shard, some in ats.items()
        )

    def _outlet(self, store: ShardStore, ats: Sequence[int], checks: Sequence[Check]) -> Outlet:
        targets = [self.targets[at] for at in ats]
        return store.outlet(
            targets, checks_of(checks, [target.queue for target in targets]), shared=self.shared
        )

    def payloads(self, part: Part, all_of_them: Sequence[Any]) -> Sequence[Any]:
        """What of the payloads (or stamps) belongs to a part."""
        if self.shared or len(self.parts) == 1:
            return all_of_them
        width = len(self.targets)
        return [all_of_them[start + at] for start in range(0, len(all_of_them), width) for at in part.ats]


def checks_of(checks: Sequence[Check], queues: Sequence[str]) -> list[Check]:
    """The checks of these queues' declarations; those of the topology have the keys of exchanges."""
    return [check for check in checks if check[0] == "h" and check[2] in queues and _is_declaration(check[1])]


def _is_declaration(key: str) -> bool:
    return key.endswith("_kombu.queues")


def pack_check(checks: Sequence[Check], home: str) -> bytes | None:
    """The call of check.lua for the checks of the topology, None when there are none."""
    some = [check for check in checks if check[1].startswith(home)]
    if not some:
        return None
    about: list[str | bytes | int] = [part for kind, _, *rest in some for part in (kind, *rest)]
    return script("check", "checks").pack([key for _, key, _, _ in some], [len(some), *about])
