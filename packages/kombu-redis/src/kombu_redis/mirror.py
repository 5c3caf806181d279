"""The server's topology as this connection knows it: read, and kept up to date by differences."""

from __future__ import annotations

from functools import wraps
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from kombu.transport.virtual.routing import frozen

from .rows import Binding, guess_type, load_exchange, load_queue, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kombu.transport.virtual.exchange import BrokerState
    from kombu.transport.virtual.routing import ExchangeSpec
    from kombu.transport.virtual.tables import Destination

    from .client import Client
    from .keys import Keys
    from .options import Options
    from .routes import Route

__all__ = ("Known", "Mirror", "locked")

#: Seconds after which rows that kombu 5 changes without a trace are read again.
FOREIGN_AGE = 5.0
#: Seconds that rows of an ``x-expires`` queue stay at least without being written again; what kombu 5 gives them.
ROW_LIFE = 3600.0
#: Routes to remember, and queues.
MEMO_LIMIT = 8192


_Method = TypeVar("_Method", bound="Callable[..., Any]")


def locked(method: _Method) -> _Method:
    """The method holds the lock of the client: nobody else sees what it has done by half."""

    @wraps(method)
    def alone(self: Mirror, *args: Any, **kwargs: Any) -> Any:
        with self.client.lock:
            return method(self, *args, **kwargs)

    return alone  # type: ignore[return-value]


class Known:
    """What was last read of an exchange."""

    __slots__ = ("bound", "foreign", "guessed", "read_at", "rows", "size", "value")

    def __init__(self) -> None:
        #: The value in the hash of exchanges, "" for none; None: has to be read.
        self.value: str | None = None
        #: Size of the set of rows.
        self.size = 0
        self.rows: set[bytes] = set()
        self.bound: set[bytes] = set()
        self.foreign = self.guessed = False
        self.read_at = 0.0


class Mirror:
    """Exchanges, queues and bindings at the server, mirrored in the virtual layer's ``state``.

    The verbs of a channel read what they need with :meth:`load_exchange` and :meth:`load_queue` and then look at
    ``state`` as any virtual channel does.
    """

    def __init__(self, client: Client, keys: Keys, options: Options, state: BrokerState, me: str) -> None:
        self.client = client
        self.keys = keys
        self.options = options
        self.state = state
        #: Names this connection among all.
        self.me = me
        #: Stands for this connection as the owner of exclusive queues in ``state``.
        self.owner: object = me
        self._known: dict[str, Known] = {}
        #: Queue -> its JSON at the server, "" when nobody of our kind declared it.
        self._specs: dict[str, str] = {}
        #: Routes that were worked out, by exchange and key; a new dictionary when any of them may be out of date.
        self._memo: dict[tuple[str, str], Route] = {}

    # -- exchanges -----------------------------------------------------------------------------------------

    @locked
    def load_exchange(self, *names: str) -> None:
        """Bring these exchanges in ``state`` up to date, with those that their messages may go on to."""
        seen: set[str] = set()
        waiting = [name for name in names if name]
        while waiting:
            seen.update(waiting)
            commands: list[tuple[str, ...]] = []
            for name in waiting:
                commands += [("HGET", self.keys.exchanges, name), ("SCARD", self.keys.binding(name))]
            replies = self.client.pipeline(commands)
            found = list(zip(waiting, map(text, replies[::2]), replies[1::2], strict=True))
            if any(self._is_missing(name, value) for name, value, _ in found) and self.meet():
                seen.difference_update(waiting)
                continue
            changed = [name for name, value, size in found if self._is_changed(name, value, size)]
            self._read(changed)
            reached = {onward for name in waiting for onward in self._onward(name)}
            waiting = sorted(reached - seen)

    def _is_missing(self, name: str, value: str) -> bool:
        """Whether an exchange that was at the server is not there."""
        known = self._known.get(name)
        return not value and (self._is_mine(("exchange", name)) or (known is not None and bool(known.value)))

    def _is_changed(self, name: str, value: str, size: int) -> bool:
        known = self._known.get(name)
        return (
            known is None
            or known.value != value
            or known.size != size
            or known.guessed
            or (known.foreign and monotonic() - known.read_at >= FOREIGN_AGE)
        )

    def _read(self, names: list[str]) -> None:
        """Read the values and rows of these exchanges. The value first: rows may be newer, never older."""
        commands: list[tuple[str, ...]] = []
        for name in names:
            commands += [
                ("HGET", self.keys.exchanges, name),
                ("SMEMBERS", self.keys.binding(name)),
                ("SMEMBERS", self.keys.bound(name)),
            ]
        replies = self.client.pipeline(commands)
        for at, name in enumerate(names):
            value, rows, bound = replies[3 * at : 3 * at + 3]
            self._take_in(name, text(value), set(rows), set(bound))

    def _take_in(self, name: str, value: str, rows: set[bytes], bound: set[bytes]) -> None:
        known = self._known.setdefault(name, Known())
        size = len(rows)
        spec = self._sync_exchange(name, value, rows)
        if spec is None:
            return
        known = self._known.setdefault(name, known)
        if spec.type in ("fanout", "headers"):
            rows = known.rows  # they say nothing about where messages go
        sep = self.keys.sep
        added = [Binding.from_row(text(row), sep) for row in rows - known.rows]
        added += [Binding.from_json(text(row)) for row in bound - known.bound]
        removed = [Binding.from_row(text(row), sep) for row in known.rows - rows]
        removed += [Binding.from_json(text(row)) for row in known.bound - bound]
        for binding in added:
            if binding is not None:
                self.state.bind(binding.to, name, binding.key, binding.arguments)
        for binding in removed:
            if binding is not None:
                self.state.unbind(binding.to, name, binding.key, binding.arguments)
                if not self._row_life(binding.to):  # else it has lapsed, perhaps
                    self._forget_mine(("binding", name, binding.to, binding.key, frozen(binding.arguments)))
        about = load_exchange(value) if value else None
        known.foreign = bool(size) if about is None else about.foreign or about.rows != size
        known.rows, known.bound, known.read_at = rows, bound, monotonic()
        self._note(known, value, size)
        if name not in self.state.exchanges:  # auto-delete, and all bindings went
            del self._known[name]

    def _note(self, known: Known, value: str | None, size: int) -> None:
        """These are the value and the size now: routes made for others are of no use any more."""
        known.value, known.size = value, size
        self._memo = {}

    def _sync_exchange(self, name: str, value: str, rows: set[bytes]) -> ExchangeSpec | None:
        """Have ``state`` know the exchange as the server does; None when there is none."""
        known = self._known.setdefault(name, Known())
        spec = self.state.exchanges.get(name)
        if not value:
            if name.startswith("amq.") and spec is not None:
                return spec
            if not rows:
                self._forget_exchange(name)
                return None
            guess = guess_type(map(text, rows), self.keys.sep)
            if spec is not None and known.guessed and spec.type == guess:
                return spec
            self._forget_exchange(name)
            self._known[name] = known = Known()
            known.guessed = True
            return self.state.declare_exchange(name, guess)
        about = load_exchange(value)
        if spec is not None:
            same = about[:4] == (spec.type, spec.durable, spec.auto_delete, spec.arguments)
            if same and not known.guessed:
                return spec
            self._forget_exchange(name)
            self._known[name] = Known()
        return self.state.declare_exchange(name, *about[:4])

    def _forget_exchange(self, name: str) -> None:
        self._known.pop(name, None)
        self._drop_rows(("exchange", name))
        self._forget_mine(("exchange", name))
        spec = self.state.exchanges.get(name)
        for to, key, arguments in spec.table.rows() if spec is not None else ():
            self._forget_mine(("binding", name, to, key, frozen(arguments)))
        self.state.delete_exchange(name)

    def _drop_rows(self, to: Destination) -> None:
        """The bindings of a destination leave ``state`` for a reason that is not in the rows: have them read again."""
        for exchange, key, arguments in self.state.bindings_of(to):
            self._forget_mine(("binding", exchange, to, key, frozen(arguments)))
            known = self._known.get(exchange)
            if known is not None:
                for kind, row in self._forms(exchange, Binding(to, key, arguments)):
                    rows = known.rows if kind == "row" else known.bound
                    rows.discard(row.encode("utf-8", "surrogateescape"))
                self._note(known, None, known.size)

    def _row(self, exchange: str, binding: Binding) -> tuple[str, str]:
        """How this connection writes the binding; see :meth:`_forms`."""
        return self._forms(exchange, binding)[0]

    def _forms(self, exchange: str, binding: Binding) -> list[tuple[str, str]]:
        """How the binding may be written, by this connection first: ("row", as kombu 5 does it) or ("bound", as JSON).

        Queues of a fanout exchange get what is published ("row"), have it put into them ("bound"), or read it from a
        stream ("stream", in the same set as "bound"), as the program says that bound them.
        """
        kind = self.state.exchanges[exchange].type if exchange in self.state.exchanges else "direct"
        bound = "bound", binding.json()
        if binding.to[0] == "exchange" or kind == "headers":
            return [bound]
        row = "row", binding.row(self.keys.sep, kind == "topic")
        if kind != "fanout":
            return [row]
        stream = "stream", binding._replace(stream=True).json()
        forms = {"pubsub": row, "queue": bound, "stream": stream}
        ours = self.options.fanout
        if ours == "stream" and not self._may_lag(binding.to[1]):
            ours = "queue"
        return [forms.pop(ours), *forms.values()]

    def _may_lag(self, queue: str) -> bool:
        """Whether nobody can tell that the queue gets its messages just when somebody wants them.

        Limits, priorities and the end of their time have to be seen to while they wait.
        """
        spec = self.state.queues.get(queue)
        if spec is None or not self._specs.get(queue):
            return False
        rules = spec.policy
        letters = rules.message_ttl is not None and rules.dead_letter_exchange is not None
        return not (rules.limits_length or letters or rules.max_priority)

    def _row_life(self, to: Destination) -> int:
        """Milliseconds that kombu 5 may forget the row after; 0 is never."""
        spec = self.state.queues.get(to[1]) if to[0] == "queue" else None
        expires = spec.policy.expires if spec is not None else None
        return 0 if expires is None else int(1000 * max(ROW_LIFE, 2 * expires))

    def _onward(self, name: str) -> list[str]:
        spec = self.state.exchanges.get(name)
        if spec is None:
            return []
        known = self._known.get(name)
        bound = [Binding.from_json(text(row)) for row in known.bound] if known is not None else ()
        onward = [binding.to[1] for binding in bound if binding is not None and binding.to[0] == "exchange"]
        return [*onward, spec.alternate] if spec.alternate is not None else onward

    # -- queues --------------------------------------------------------------------------------------------

    @locked
    def load_queue(self, *names: str) -> None:
        """Bring these queues in ``state`` up to date."""
        if not names:
            return
        values = self._read_queues(names)
        missing = any(not value and self._specs.get(name) for name, value in zip(names, values, strict=True))
        if missing and self.meet():
            values = self._read_queues(names)
        for name, value in zip(names, values, strict=True):
            self._sync_queue(name, value)

    def _read_queues(self, names: Sequence[str]) -> list[str]:
        """Their declarations at the server."""
        return [text(value) for value in self.client.call("HMGET", self.keys.queues, *names)]

    def _sync_queue(self, name: str, value: str) -> None:
        spec = self.state.queues.get(name)
        if self._specs.get(name) == value and bool(value) == (spec is not None):
            return
        if spec is not None and (not value or not self._agrees(spec, value)):
            self._forget_queue(name)
            spec = None
        self._specs[name] = value
        self._memo = {}
        if value and spec is None:
            about = load_queue(value)
            owner = self.owner if about.owner == self.me else about.owner or None
            self.state.declare_queue(name, *about[:4], owner)

    def _agrees(self, spec: Any, value: str) -> bool:
        about = load_queue(value)
        owner = self.me if spec.owner is self.owner else spec.owner or ""
        return about == (spec.durable, spec.exclusive, spec.auto_delete, spec.arguments, owner)

    def _forget_queue(self, name: str) -> None:
        """The queue is gone at the server: its bindings go, and its consumers here are told."""
        self._specs.pop(name, None)
        self._drop_rows(("queue", name))
        self._forget_mine(("queue", name))
        spec = self.state.delete_queue(name)
        for subscription in spec.consumers if spec is not None else ():
            subscription.cancel()

    # -- for the directory ---------------------------------------------------------------------------------

    def meet(self) -> bool:
        """Look whether the server has lost its data; whether everything was declared again."""
        raise NotImplementedError

    def _is_mine(self, what: tuple[Any, ...]) -> bool:
        """Whether this connection declared it."""
        raise NotImplementedError

    def _forget_mine(self, what: tuple[Any, ...]) -> None:
        """It is gone, and not to be declared again."""
        raise NotImplementedError
