"""Publishing several messages in few round trips: what :meth:`kombu.Producer.batch` is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.exceptions import BatchPublishError, DeadlineExceeded

if TYPE_CHECKING:
    from kombu.producer import Producer

__all__ = ("Buffer", "ProducerBatch")


class Buffer:
    """Prepared messages of one producer in one thread that wait to be handed to the channel together."""

    __slots__ = ("depth", "flushes", "max_size", "pending")

    def __init__(self, max_size: int) -> None:
        self.max_size = max_size
        self.depth = 0
        self.flushes = 0
        self.pending: list[tuple[Any, str, str, dict[str, Any]]] = []

    def add(
        self, channel: Any, message: Any, exchange: str, routing_key: str, options: dict[str, Any]
    ) -> None:
        """Keep a message; the one that fills the buffer flushes it."""
        self.pending.append((message, exchange, routing_key, options))
        if len(self.pending) >= self.max_size:
            self.flush(channel)

    def flush(self, channel: Any) -> None:
        """Hand over all that waits; it is not kept, whatever comes of it."""
        if not self.pending:
            return
        pending, self.pending = self.pending, []
        self.flushes += 1
        try:
            channel.basic_publish_many(pending)
        except (BatchPublishError, DeadlineExceeded):
            raise
        except Exception as exc:
            raise BatchPublishError(
                f"a batch of {len(pending)} messages was not published, or only in part: {exc!r}."
                " Publishing it again may send some messages twice."
            ) from exc

    def mark(self) -> tuple[int, int]:
        return self.flushes, len(self.pending)

    def discard(self, mark: tuple[int, int]) -> None:
        """Drop what was added since ``mark`` and is not flushed."""
        flushes, length = mark
        del self.pending[length if flushes == self.flushes else 0 :]


class ProducerBatch:
    """``with producer.batch() as batch``: what is published inside waits until there are ``max_size``
    messages.

    The outermost ``with`` flushes the rest when it ends without an exception; an exception discards what was
    published inside and not flushed yet.
    """

    def __init__(self, producer: Producer, max_size: Any) -> None:
        if not isinstance(max_size, int) or max_size < 1:
            raise ValueError(f"max_size must be a positive integer, not {max_size!r}")
        self.producer = producer
        self.max_size = max_size
        self._buffer: Buffer | None = None
        self._mark = (0, 0)

    @property
    def active(self) -> bool:
        """Whether messages are being held back: inside ``with``, on a transport that publishes in batches."""
        return self._buffer is not None

    def flush(self) -> None:
        """Publish what waits now.

        Raises:
            BatchPublishError: not all of it was published, or nobody knows.
        """
        if self._buffer is not None:
            self._buffer.flush(self.producer.channel)

    def __enter__(self) -> ProducerBatch:
        if self._buffer is not None:
            raise RuntimeError("this batch is open already; nested batches come from producer.batch()")
        self._buffer = self.producer._enter_batch(self.max_size)
        if self._buffer is not None:
            self._mark = self._buffer.mark()
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *exc_info: object) -> None:
        buffer, self._buffer = self._buffer, None
        if buffer is None:
            return
        outermost = self.producer._leave_batch(buffer)
        if exc_type is not None:
            buffer.discard(self._mark)
        elif outermost:
            buffer.flush(self.producer.channel)
