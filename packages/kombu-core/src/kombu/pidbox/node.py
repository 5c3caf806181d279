"""One process of an application, which carries out the commands that come to its mailbox."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from kombu.consumer import Consumer
from kombu.log import get_logger
from kombu.matcher import match
from kombu.utils.functional import reprcall

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Node",)

logger = get_logger("kombu.pidbox")


class Node:
    """One process of an application: it handles the commands that come to its mailbox.

    Arguments:
        hostname: the node's name.
        state: given to each handler as its first argument.
        channel: where it listens and answers.
        handlers: functions by the name of the command.
        mailbox: the application's :class:`Mailbox`.
    """

    hostname: Any = None
    mailbox: Any = None
    handlers: Any = None
    state: Any = None
    channel: Any = None

    def __init__(
        self, hostname: Any, state: Any = None, channel: Any = None, handlers: Any = None, mailbox: Any = None
    ) -> None:
        self.hostname = hostname
        self.state = state
        self.channel = channel
        self.mailbox = mailbox
        self.handlers = {} if handlers is None else handlers
        self.adjust_clock = mailbox.clock.adjust

    def Consumer(self, channel: Any = None, no_ack: bool = True, accept: Any = None, **options: Any) -> Any:
        """A consumer of the node's queue."""
        queue = self.mailbox.get_queue(self.hostname)

        def declared(name: str, messages: int, consumers: int) -> None:
            if consumers:
                warnings.warn(
                    f"A node named {self.hostname!r} is already using the mailbox {name!r}: "
                    "give each node a name of its own",
                    stacklevel=2,
                )

        queue.on_declared = declared
        return Consumer(
            channel or self.channel,
            [queue],
            no_ack=no_ack,
            accept=self.mailbox.accept if accept is None else accept,
            **options,
        )

    def handler(self, fun: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate a function to handle the command of its name."""
        self.handlers[fun.__name__] = fun
        return fun

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """A command could not be decoded: log it."""
        logger.error("Cannot decode message: %r", exc, exc_info=exc)

    def listen(self, channel: Any = None, callback: Callable[..., Any] | None = None) -> Any:
        """Start consuming; the consumer is returned. ``callback(body, message)``: default :meth:`handle_message`."""
        consumer = self.Consumer(
            channel=channel, callbacks=[callback or self.handle_message], on_decode_error=self.on_decode_error
        )
        consumer.consume()
        return consumer

    def dispatch(
        self, method: str, arguments: Any = None, reply_to: Any = None, ticket: str | None = None, **kwargs: Any
    ) -> Any:
        """Carry a command out, and answer it if ``reply_to`` says where to. An error of its handler is the answer."""
        arguments = arguments or {}
        logger.debug("pidbox received method %s [reply_to:%s ticket:%s]", method, reply_to, ticket)
        handle = self.handle_call if reply_to else self.handle_cast
        try:
            reply = handle(method, arguments)
        except SystemExit:
            raise
        except Exception as exc:
            logger.error("pidbox command error: %r in %s", exc, reprcall(method, (), arguments), exc_info=True)
            reply = {"error": repr(exc)}
        if reply_to:
            self.reply(
                {self.hostname: reply},
                exchange=reply_to["exchange"],
                routing_key=reply_to["routing_key"],
                ticket=ticket,
            )
        return reply

    def handle(self, method: str, arguments: Any = None) -> Any:
        """Call the handler of ``method``; KeyError when there is none."""
        return self.handlers[method](self.state, **(arguments or {}))

    def handle_call(self, method: str, arguments: Any) -> Any:
        """A command that is answered."""
        return self.handle(method, arguments)

    def handle_cast(self, method: str, arguments: Any) -> Any:
        """A command that is not."""
        return self.handle(method, arguments)

    def handle_message(self, body: Any, message: Any = None) -> Any:
        """Carry out the command in a message, if it is for this node."""
        if message is not None:
            self.adjust_clock(message.headers.get("clock") or 0)
        pattern, matcher = body.get("pattern"), body.get("matcher")
        if pattern and matcher:
            wanted = match(self.hostname, pattern, matcher)
        else:
            destination = body.get("destination")
            wanted = not destination or self.hostname in destination
        if wanted:
            return self.dispatch(**body)

    dispatch_from_message = handle_message

    def reply(self, data: Any, exchange: str, routing_key: str, ticket: str | None, **kwargs: Any) -> None:
        """Send an answer."""
        self.mailbox._publish_reply(
            data, exchange, routing_key, ticket, channel=self.channel, serializer=self.mailbox.serializer
        )
