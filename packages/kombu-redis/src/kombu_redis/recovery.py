"""What keeps the topology at the server: signs of life, and everything written again when the server lost it.

A random mark stands for the server's data. When it is missing or another one, all was lost (FLUSHALL, a restart without
its disk), and each connection declares again what it declared. What is gone while the mark stands was deleted.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from kombu.exceptions import ChannelError
from kombu.log import get_logger
from kombu.utils.uuid import uuid

from .lifetimes import Lifetimes, script
from .mirror import ROW_LIFE, locked
from .rows import text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .routes import Check

__all__ = ("Recovery",)

logger = get_logger(__name__)


class Recovery(Lifetimes):
    """Remembers what this connection declared."""

    _sweep_bindings = script("sweep_bindings")

    #: What this connection declared and did not delete, in order: what -> the arguments it takes to do it again.
    _mine: dict[tuple[Any, ...], tuple[Any, ...]]
    #: The server's mark, as this connection met it first.
    _marker = b""
    #: When rows that may be forgotten are written again, by the monotonic clock.
    _rebind_at: float

    @locked
    def meet(self) -> bool:
        """Look whether the server still has what it had; if not, declare everything again. Whether that was done."""
        marker = self.client.call("GET", self.keys.alive)
        if marker is None:
            self.client.call("SET", self.keys.alive, uuid(), "NX")
            marker = self.client.call("GET", self.keys.alive)
        before, self._marker = self._marker, marker
        if before and before != marker:
            self.reassert()
            return True
        return False

    def reassert(self) -> None:
        """The server lost its data: declare everything again that this connection declared, in the same order."""
        logger.warning("The server has lost its data: declaring again what this connection declared")
        self._known.clear()
        self._specs.clear()
        mine, self._mine = self._mine, {}
        consuming, self._consuming = self._consuming, {}
        told = {name: list(spec.consumers) for name, spec in self.state.queues.items()}
        self.state.clear()
        try:
            for (kind, *_), arguments in mine.items():
                try:
                    self._declare_again(kind, arguments)
                except ChannelError as exc:
                    logger.warning("%s %r is not declared again: %s", kind.capitalize(), arguments[:2], exc)
        except BaseException:  # the connection is lost: all of it again, when there is another
            self._marker, self._mine, self._consuming = b"lost", {**mine, **self._mine}, consuming
            raise
        for name, consumers in told.items():
            if name not in self.state.queues:
                self.load_queue(name)
            spec = self.state.queues.get(name)
            if spec is not None:
                spec.consumers = consumers
                if name in consuming:
                    self._consuming[name] = consuming[name]
                continue
            for subscription in consumers:
                subscription.cancel()
        self.keep_consumers()

    def _declare_again(self, kind: str, arguments: tuple[Any, ...]) -> None:
        """Declare an exchange, a queue or a binding, with what :meth:`.Directory.bind` and its kin were given."""
        raise NotImplementedError

    @locked
    def refresh(self, checks: Iterable[Check]) -> None:
        """Read again what a publishing script found to be different."""
        self.meet()
        self._reload(checks)

    @locked
    def keep_alive(self) -> None:
        """Every third of a lease: leases of consumers, deadlines, rows that expire, and whether all is still there."""
        if not (self._mine or self._consuming):
            return
        if not self.meet():
            self.keep_consumers()
        if monotonic() >= self._rebind_at:
            self.refresh_rows()
            self.sweep_bindings()

    @locked
    def refresh_rows(self) -> None:
        """Write the rows again that may be forgotten: those of ``x-expires`` queues."""
        self._rebind_at = monotonic() + ROW_LIFE / 3
        for what, arguments in list(self._mine.items()):
            if what[0] == "binding" and self._row_life(arguments[0]) and arguments[1] in self.state.exchanges:
                self._declare_again("binding", arguments)

    def sweep_bindings(self) -> None:
        """Forget rows whose deadline is over, as kombu 5 does."""
        time = self.client.call("TIME")
        due = self.client.call("ZRANGEBYSCORE", self.keys.binding_deadlines, "-inf", int(time[0]) * 1000)
        for exchange in map(text, due):
            keys = [self.keys.binding_deadlines, self.keys.exchanges, self.keys.binding(exchange)]
            keys.append(self.keys.binding_permanent(exchange))
            self.client.run(self._sweep_bindings, keys, [exchange])

    def _forget_mine(self, what: tuple[Any, ...]) -> None:
        self._mine.pop(what, None)

    def _is_mine(self, what: tuple[Any, ...]) -> bool:
        return what in self._mine
