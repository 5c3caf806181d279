"""Where the master is: the sentinels are asked one after the other, the one that answered last first."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from redis import Redis
from redis import exceptions as driver
from redis.backoff import NoBackoff
from redis.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ("Sentinels",)

#: Seconds that a sentinel has for its answer at least, however many there are and however little time is left.
LEAST = 0.1


class Sentinels:
    """The sentinels of one master.

    Arguments:
        addresses: host and port of each.
        master: the name they know it by.
        min_others: a sentinel that knows fewer others is not believed.
        arguments: of :class:`redis.Redis` for each sentinel; a time limit among them is a maximum.
    """

    def __init__(
        self,
        addresses: Sequence[tuple[str, int]],
        master: str,
        min_others: int,
        arguments: Mapping[str, Any],
    ) -> None:
        self.master = master
        self._order = list(addresses)
        self._min_others = min_others
        self._arguments = arguments

    def ask(self, limit: float) -> tuple[str, int]:
        """Host and port of the master.

        One that does not answer may take its share of the time only, so that others are asked, and the master can
        still be connected to.

        Arguments:
            limit: seconds for asking and connecting together.

        Raises:
            redis.AuthenticationError: no sentinel accepts the password.
            redis.ConnectionError: no sentinel names a master that it takes to be alive.
        """
        end = monotonic() + limit
        refusals: list[tuple[str, Exception]] = []
        order = list(self._order)
        for number, address in enumerate(order):
            share = (end - monotonic()) / (len(order) - number + 1)
            try:
                found = self._ask_one(address, max(LEAST, share))
            except (driver.RedisError, OSError) as exc:
                refusals.append((f"{address[0]}:{address[1]}", exc))
                continue
            self._order = [address, *(other for other in order if other != address)]
            return found
        told = "; ".join(f"{where}: {exc}" for where, exc in refusals)
        if all(isinstance(exc, driver.AuthenticationError) for _, exc in refusals):
            raise driver.AuthenticationError(f"the sentinels want another login, see sentinel_kwargs ({told})")
        raise driver.ConnectionError(f"no sentinel names a master {self.master!r} that is alive ({told})")

    def _ask_one(self, address: tuple[str, int], share: float) -> tuple[str, int]:
        # (the driver's own retries would take the time of the others)
        arguments = {"retry": Retry(NoBackoff(), 0), **self._arguments, "decode_responses": True}
        for name in ("socket_connect_timeout", "socket_timeout"):
            arguments[name] = min(share, arguments.get(name) or share)
        with Redis(host=address[0], port=address[1], **arguments) as sentinel:
            with sentinel.pipeline(transaction=False) as pipe:
                pipe.sentinel_get_master_addr_by_name(self.master)
                pipe.sentinel_master(self.master)
                named, state = pipe.execute(raise_on_error=False)
        if isinstance(named, Exception):
            raise named
        if named is None:
            raise driver.ConnectionError(f"knows no master {self.master!r}")
        # During a failover only the address is of the new one already: the other answer is about the old.
        if isinstance(state, dict):
            others = state["num-other-sentinels"]
            if others < self._min_others:
                raise driver.ConnectionError(f"knows {others} others, and min_other_sentinels is {self._min_others}")
            if (state["ip"], state["port"]) == named and (state["is_sdown"] or state["is_odown"]):
                raise driver.ConnectionError(f"takes {named[0]}:{named[1]} for dead")
        return named[0], int(named[1])
