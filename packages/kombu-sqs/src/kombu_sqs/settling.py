"""DeleteMessage and DeleteMessageBatch: what is done with leaves the queue, or is seen not to."""

from __future__ import annotations

from threading import RLock
from time import monotonic
from typing import TYPE_CHECKING

from kombu.exceptions import AMQPError, NotFound
from kombu.log import get_logger

from .errors import SettleError, code_of, is_lost_receipt
from .lease import BATCH, by_tens, entries_of, is_final

if TYPE_CHECKING:
    from collections.abc import Callable

    from .lease import Held, Leases
    from .offload import Store
    from .options import Options
    from .queues import Queues, Target

__all__ = ("Settler",)

logger = get_logger(__name__)


class Settler:
    """Deletes for one connection: each message at once, or ten at a time with the option ``batch_deletes``.

    ``poke`` is told when :meth:`flush` will be due (monotonic clock).
    """

    def __init__(
        self,
        queues: Queues,
        leases: Leases,
        options: Options,
        store: Store | None,
        poke: Callable[[float], object],
    ) -> None:
        self._queues = queues
        self._leases = leases
        self._store = store
        self._batches = options.batch_deletes
        self._delay = options.delete_delay
        self._poke = poke
        self._lock = RLock()
        self._waiting: dict[int, list[Held]] = {}
        self._since: float | None = None

    def delete(self, held: Held) -> None:
        """The message is done with; its deletion may wait for others.

        Raises:
            AMQPError: it was not deleted; it is still held, so it can be tried again.
            SettleError: it is not ours any more; or some of those that waited were not deleted.
        """
        if not self._batches:
            self._delete_one(held)
            return
        key = id(held.target)
        with self._lock:
            waiting = self._waiting.setdefault(key, [])
            waiting.append(held)
            if len(waiting) < BATCH:
                if self._since is None:
                    self._since = monotonic()
                    self._poke(self._since + self._delay)
                return
            del self._waiting[key]
            if not self._waiting:
                self._since = None
        self._delete_many(waiting)

    def _delete_one(self, held: Held) -> None:
        try:
            self._queues.call("delete_message", held.target, ReceiptHandle=held.receipt)
        except NotFound:  # the queue was deleted, and the message with it
            pass
        except AMQPError as exc:
            logger.error("Message %s of %r is not deleted: %s", held.message_id, held.target.name, exc)
            if is_lost_receipt(code_of(exc)):
                self._leases.drop(held)
                raise _not_deleted([(held.message_id, code_of(exc), str(exc))]) from exc
            raise
        self._done(held)

    def _done(self, held: Held) -> None:
        self._leases.drop(held)
        if held.offloaded is not None and self._store is not None:
            try:
                self._store.delete(held.offloaded)
            except Exception as exc:  # the message is gone; what is left takes place and nothing else
                logger.warning("The body %s that was kept elsewhere is not deleted: %s", held.offloaded, exc)

    # -- in batches ----------------------------------------------------------------------------------------

    def due_at(self) -> float | None:
        """When to call :meth:`flush` (monotonic clock); None when nothing waits."""
        since = self._since
        return None if since is None else since + self._delay

    def flush(self) -> None:
        """Delete all that waits.

        Raises:
            SettleError: some were not deleted. What failed for no fault of its own waits again.
        """
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            self._since = None
        failed: list[tuple[str, str, str]] = []
        for held in waiting.values():
            try:
                self._delete_many(held)
            except SettleError as exc:
                failed += exc.failed
        if failed:
            raise _not_deleted(failed)

    def delete_now(self, held: list[Held]) -> None:
        """Delete these, ten a request.

        Raises:
            SettleError: some were not deleted; they do not wait, and are still held unless they are lost.
        """
        self._delete_many(held, keep=False)

    def _delete_many(self, held: list[Held], keep: bool = True) -> None:
        failed: list[tuple[str, str, str]] = []
        for target, group in by_tens(held):
            failed += self._delete_group(target, group, keep)
        if failed:
            raise _not_deleted(failed)

    def _delete_group(self, target: Target, group: list[Held], keep: bool) -> list[tuple[str, str, str]]:
        """What was not deleted: (message id, code, text); with ``keep`` it waits again if that may help."""
        try:
            answer = self._queues.call("delete_message_batch", target, Entries=entries_of(group))
        except NotFound:
            for one in group:
                self._done(one)
            return []
        except Exception as exc:
            if keep:
                self._keep(group)
            logger.error("%d messages of %r are not deleted: %s", len(group), target.name, exc)
            return [(one.message_id, type(exc).__name__, str(exc)) for one in group]
        results = []
        for entry in answer.get("Successful", ()):
            self._done(group[int(entry["Id"])])
        for entry in answer.get("Failed", ()):
            one = group[int(entry["Id"])]
            if is_final(entry):
                self._leases.drop(one)
            elif keep:
                self._keep([one])
            results.append((one.message_id, str(entry.get("Code")), str(entry.get("Message", ""))))
            logger.error(
                "Message %s of %r is not deleted: %s", one.message_id, target.name, entry.get("Code")
            )
        return results

    def _keep(self, group: list[Held]) -> None:
        """Have them wait again."""
        with self._lock:
            for one in group:
                self._waiting.setdefault(id(one.target), []).append(one)
            self._since = monotonic()
        self._poke(self._since + self._delay)


def _not_deleted(failed: list[tuple[str, str, str]]) -> SettleError:
    shown = "; ".join(f"{message}: {code} {text}".strip() for message, code, text in failed[:3])
    return SettleError(f"{len(failed)} messages were not deleted and may come again: {shown}", tuple(failed))
