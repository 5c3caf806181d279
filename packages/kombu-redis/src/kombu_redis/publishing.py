"""The way out: one round trip that validates the route, appends to the queues, broadcasts and wakes."""

from __future__ import annotations

from collections import deque
from time import time
from typing import TYPE_CHECKING, Any

from kombu.exceptions import (
    BatchPublishError,
    ChannelError,
    MessageNacked,
    PreconditionFailed,
    RecoverableConnectionError,
    UnsupportedCapability,
)
from kombu.log import get_logger
from kombu.transport.virtual import envelope as wire
from kombu.transport.virtual import policy
from kombu.transport.virtual.policy import PLAIN
from kombu.utils import json

from .envelope import LEASE, Lease, Verbatim, envelope_of, write_payload
from .settling import SettleVerbs
from .store import Limits, Outlet, Pushed, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kombu.transport.virtual.policy import QueuePolicy

    from .routes import Route
    from .store import Leased, Unreadable

__all__ = ("PublishVerbs",)

logger = get_logger(__name__)

#: How often a publish follows a topology that changes under it.
TRIES = 20

#: Messages of a batch that are sent together: the server works on them while the next ones are being written.
PART = 25

#: Message, exchange, routing key, options.
Publication = tuple[Any, str, str, "dict[str, Any]"]

#: Properties of a message that says nothing particular.
COMMON = {"delivery_mode", "priority"}


class Way:
    """A route with what is made of it once: what the envelopes say of it, and the packed outlets by priority."""

    __slots__ = ("info", "outlets", "plain", "route", "stamps", "tails")

    def __init__(self, route: Route, exchange: str, routing_key: str) -> None:
        self.route = route
        self.info = {"exchange": exchange, "routing_key": routing_key}
        #: Whether a queue on it gives its messages a time to live.
        self.stamps = any(rules.message_ttl is not None for _, rules in route.queues)
        #: Every message is one payload, unless it says more of itself.
        self.plain = not self.stamps and len(route.queues) + bool(route.streams) < 2
        self.outlets: dict[int | None, Outlet] = {}
        #: Ends of payloads up to the delivery tag, by what they say.
        self.tails: dict[tuple[Any, ...], bytes] = {}


class PublishVerbs(SettleVerbs):
    """``basic_publish`` and ``basic_publish_many``."""

    #: The ways that were used, by (exchange, routing key).
    _ways: dict[tuple[str, str], Way]
    #: Queues that messages have come to, to be looked at; None while nobody does.
    _fuller: list[str] | None = None

    def basic_publish(
        self,
        message: dict[str, Any] | str | bytes,
        exchange: str = "",
        routing_key: str = "",
        mandatory: bool = False,
        immediate: bool = False,
        delay: float | None = None,
        **kwargs: Any,
    ) -> None:
        """Append the message to every queue its exchange routes it to; when this returns, the server has it.

        Raises:
            NotFound: there is no such exchange.
            MessageNacked: a queue is full and refuses new messages.
        """
        if self.closed:
            self._check_open()
        if not isinstance(message, dict):
            message = self._prepared(message)
        try:
            self._publish(message, exchange, routing_key, mandatory, delay)
        except ChannelError:
            self.close()
            raise

    def _publish(
        self, message: dict[str, Any], exchange: str, routing_key: str, mandatory: bool, delay: float | None
    ) -> None:
        for _ in range(TRIES):
            if mandatory and not exchange and not self._has_queue(routing_key):
                self._seal(message, {"exchange": exchange, "routing_key": routing_key})
                self._unroutable(message, exchange, routing_key, mandatory)
                return
            way = self._way(message, exchange, routing_key)
            done = self._push(way, message, delay)
            if done.stale is None:
                route = way.route
                if not route.queues and route.fanout_channel is None:
                    self._seal(message, way.info)
                    self._unroutable(message, exchange, routing_key, mandatory)
                elif done.refused or done.dropped or done.unreadable:
                    self._seal(message, way.info)
                    self._overflowed(route, message, done)
                return
            self.connection.directory.refresh(way.route.checks)
        raise RecoverableConnectionError(
            f"the bindings of exchange {exchange!r} changed {TRIES} times while a message was being published"
        )

    def _way(self, message: dict[str, Any], exchange: str, routing_key: str) -> Way:
        route = self.connection.directory.route(exchange, routing_key, message["headers"])
        ways = self._ways
        way = ways.get((exchange, routing_key))
        if way is None or way.route is not route:
            if len(ways) >= 4096:
                ways.clear()
            way = ways[exchange, routing_key] = Way(route, exchange, routing_key)
        return way

    def _seal(self, message: dict[str, Any], info: dict[str, str]) -> None:
        """As for any virtual channel; again, when the route turned out to be another."""
        properties = message["properties"]
        if "body_encoding" not in properties:
            body, encoding = self.encode_body(message["body"], self.body_encoding)
            message["body"] = Verbatim(body) if encoding == "base64" else body
            properties["body_encoding"] = encoding
        properties["delivery_info"] = info
        properties["delivery_tag"] = self._unique()

    def _write(self, message: dict[str, Any], way: Way) -> bytes:
        """The payload of a message as it goes this way; what many have in common is written once."""
        properties = message["properties"]
        if (
            len(message) != 5
            or message["headers"] != {}
            or properties.keys() != COMMON
            or self.body_encoding != "base64"
        ):
            self._seal(message, way.info)
            return write_payload(message)
        about = (message["content-type"], message["content-encoding"], *properties.items())
        tail = way.tails.get(about)
        if tail is None:
            if len(way.tails) >= 64:
                way.tails.clear()
            rest = {
                **message,
                "properties": {**properties, "body_encoding": "base64", "delivery_info": way.info},
            }
            del rest["body"]
            tail = way.tails[about] = json.dumps(rest)[1:-2].encode()
        body = self.encode_body(message["body"], "base64")[0].encode()
        return b'{"body": "%b", %b, "delivery_tag": "%b"}}' % (body, tail, self._unique().encode())

    # -- one message ---------------------------------------------------------------------------------------

    def _push(self, way: Way, message: dict[str, Any], delay: float | None) -> Pushed:
        route = way.route
        properties = message["properties"]
        store = self.connection.store
        if route.streams:
            message["properties"] = message.pop("properties")  # the last: see lua/pull.lua
        if delay is not None and route.streams:
            route = self.connection.directory.to_queues(route, way.info)
            way = Way(route, **way.info)
        outlet = self._outlet(way, properties.get("priority"))
        if delay is not None and not outlet.targets and route.fanout_channel is not None:
            raise UnsupportedCapability(
                f"a broadcast cannot be delayed: pub/sub, which fanout exchange {way.info['exchange']!r} uses, "
                f"keeps nothing; queues that are bound with the option fanout='queue' can have it later"
            )
        one = not outlet.targets or (way.plain and delay is None and "expiration" not in properties)
        if one or route.more_channels:
            payload = self._write(message, way)
            for channel in route.more_channels:
                store.broadcast(channel, payload)
            if one:
                anywhere = outlet.targets or route.fanout_channel is not None
                stamp = self._expiry("", properties, PLAIN, time()) if route.streams else None
                return store.push(outlet, (payload,) if anywhere else (), None if stamp is None else (stamp,))
        self._seal(message, way.info)
        now = time()
        payloads, stamps = self._copies(route, message, now if delay is None else now + delay)
        if delay is not None:
            targets = list(zip(outlet.targets, payloads, stamps, strict=True))
            return store.push_delayed(targets, now + delay, route.checks)
        return store.push(outlet, payloads, stamps if any(stamp is not None for stamp in stamps) else None)

    def _copies(
        self, route: Route, message: dict[str, Any], ready: float
    ) -> tuple[list[bytes], list[float | None]]:
        """A payload for each queue, and when it expires, counted from when it is ``ready``."""
        payloads, stamps = [], []
        for name, rules in route.queues:
            letter = wire.another(message)
            properties = letter["properties"]
            properties["delivery_tag"] = self._unique()
            when = self._expiry(name, properties, rules, ready)
            if when is not None:
                properties["expires_at"] = when
            payloads.append(write_payload(letter))
            stamps.append(when)
        if route.streams:
            payloads.append(write_payload(message))
            stamps.append(self._expiry("", message["properties"], PLAIN, ready))
        return payloads, stamps

    def _expiry(
        self, queue: str, properties: dict[str, Any], rules: QueuePolicy, ready: float
    ) -> float | None:
        try:
            when = policy.expires_at(properties.get("expiration"), rules, ready)
        except ValueError as exc:
            raise PreconditionFailed(f"PRECONDITION_FAILED - {exc}", (60, 40), "Basic.publish") from exc
        if when is not None and when <= ready and self._somebody_waits(self.state.queues.get(queue)):
            return None
        return when

    def _outlet(self, way: Way, priority: int | None) -> Outlet:
        """Where a message of this priority goes, packed; remembered."""
        outlet = way.outlets.get(priority)
        if outlet is None:
            route = way.route
            keys = self.connection.keys
            targets = [
                Target(name, keys.level(name, keys.step(priority, rules.max_priority)), _limits(rules))
                for name, rules in route.queues
            ]
            outlet = self.connection.store.outlet(
                targets,
                route.checks,
                route.fanout_channel,
                streams=self._streams(route.streams, way.info["routing_key"], priority),
            )
            way.outlets[priority] = outlet
        return outlet

    def _overflowed(self, route: Route, message: dict[str, Any], done: Pushed) -> None:
        """Dead letters of what gave way; an error when a queue refused.

        Raises:
            MessageNacked: at least one queue is full.
        """
        for dropped in done.gave_way:
            self._discard(dropped.queue, held(dropped), "maxlen")
        if not done.refused:
            return
        for _, target in done.refused:
            name, rules = route.queues[target]
            if rules.overflow == "reject-publish-dlx":
                self._bury(name, wire.another(message), "maxlen", rules)
        full = ", ".join(repr(route.queues[target][0]) for _, target in done.refused)
        raise MessageNacked(
            f"queue {full} is full: x-max-length reached, and x-overflow refuses new messages"
        )

    def _returned(self, queue: str) -> None:
        """Messages have come back to a queue, which may be too many for it."""
        fuller = self._fuller
        if fuller is not None:  # dead letters of such a queue: one after the other, not one inside the other
            fuller.append(queue)
            return
        fuller = self._fuller = [queue]
        try:
            while fuller:
                self._limit(fuller.pop())
        finally:
            self._fuller = None

    def _limit(self, queue: str) -> None:
        spec = self.state.queues.get(queue)
        if spec is None or not spec.policy.limits_length or spec.policy.refuses:
            return
        store, rules = self.connection.store, spec.policy
        target = Target(queue, self.connection.keys.level(queue, 0), _limits(rules))
        for dropped in store.push(store.outlet([target]), ()).gave_way:
            self._discard(queue, held(dropped), "maxlen")

    # -- several -------------------------------------------------------------------------------------------

    def basic_publish_many(self, publications: Iterable[Publication]) -> None:
        """Publish (message, exchange, routing key, options) in few round trips, in their order.

        Raises:
            BatchPublishError: at least one was not published; the others were, ``outcomes`` says which.
        """
        self._check_open()
        outcomes: list[Exception | None] = []
        left = deque(publications)
        while left:
            parts: list[list[Publication]] = []
            results = self.connection.store.push_many(self._parts(left, parts))
            for result, part in zip(results, parts, strict=True):
                if isinstance(result, Exception):
                    outcomes += [result] * len(part)
                elif result.stale is None:
                    outcomes += [None] * len(part)
                else:
                    outcomes += map(self._one_of_many, part)
            if left:
                outcomes.append(self._one_of_many(left.popleft()))
        failures = [outcome for outcome in outcomes if outcome is not None]
        if failures:
            text = f"{len(failures)} messages of a batch were not published: {failures[0]}"
            raise BatchPublishError(text, outcomes=tuple(outcomes)) from failures[0]

    def _parts(
        self, left: deque[Publication], parts: list[list[Publication]]
    ) -> Iterator[tuple[Outlet, list[bytes], None]]:
        """Outlet and payloads of the next simple messages, until another comes; ``parts`` tells which those are."""
        found = self._simple(*left[0])
        while found is not None:
            outlet, payloads = found[0], []
            part: list[Publication] = []
            while found is not None and found[0] is outlet and len(part) < PART:
                payloads.append(found[1])
                part.append(left.popleft())
                found = self._simple(*left[0]) if left else None
            parts.append(part)
            yield outlet, payloads, None

    def _simple(
        self, message: dict[str, Any], exchange: str, routing_key: str, options: dict[str, Any]
    ) -> tuple[Outlet, bytes] | None:
        """Outlet and payload of a message that goes to one queue without more ado."""
        properties = message["properties"]
        if options.get("delay") is not None or "expiration" in properties:
            return None
        try:
            way = self._way(message, exchange, routing_key)
        except ChannelError:
            return None
        if not way.plain:
            return None
        outlet = self._outlet(way, properties.get("priority"))
        if outlet.limited or not outlet.targets:
            return None
        return outlet, self._write(message, way)

    def _one_of_many(self, publication: Publication) -> Exception | None:
        message, exchange, routing_key, options = publication
        try:
            self._publish(
                message, exchange, routing_key, options.get("mandatory", False), options.get("delay")
            )
        except (ChannelError, MessageNacked) as exc:
            return exc
        return None


def held(leased: Leased | Unreadable) -> dict[str, Any]:
    """The envelope of a message this connection has a lease of."""
    message = envelope_of(leased)
    message[LEASE] = Lease(leased.tag, leased.level, True)
    return message


def _limits(rules: QueuePolicy) -> Limits | None:
    if not rules.limits_length:
        return None
    return Limits(
        rules.max_length,
        rules.max_length_bytes,
        rules.refuses,
        rules.dead_letter_exchange is not None,
        rules.max_priority,
    )
