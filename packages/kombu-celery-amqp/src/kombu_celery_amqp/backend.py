"""The backend, by the names and promises that Celery's AMQP result backend has always had."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from celery import states

import kombu
from kombu.exceptions import NotFound, OperationalError, PreconditionFailed
from kombu.log import get_logger
from kombu.pools import Connections, producers
from kombu.utils.functional import LRUCache
from kombu.utils.objects import cached_property

from .latest import BacklogLimitExceeded, Latest
from .queues import NoCacheQueue, queue_of, rkey
from .waiting import WaitingBackend

if TYPE_CHECKING:
    from kombu.connection_pool import ConnectionPool
    from kombu.pools import ProducerPool

    from .latest import Meta

__all__ = ("AMQPBackend", "reading")

logger = get_logger(__name__)

#: URLs that name no broker: results go where tasks go.
_SHARED = (None, "", "amqp://", "amqps://", "pyamqp://")

#: Connections to look and wait for results, apart from those that send: each thread that waits holds one, which must
#: not keep others from sending. In fact there are as many as threads have waited at a time.
reading = Connections(limit=10_000)

#: Tasks whose state is remembered where Celery's own cache (``result_cache_max``) is off: a second ``get()`` in this
#: process finds the result that the first one has taken from the broker.
CACHED = 100


class AMQPBackend(WaitingBackend):
    """Publishes results by sending messages: one queue a task, in it a message for each change of its state.

    Looking (``get_task_meta``) leaves the newest state in the queue. Waiting (``wait_for``, ``get_many``) takes the
    final one: all who wait at that moment get it, and the last of them deletes the queue.

    Arguments:
        app: the application.
        connection: the broker of results, a :class:`kombu.Connection`; default: that of ``url``, else the
            application's.
        exchange, exchange_type: default: ``result_exchange`` and ``result_exchange_type``; ``""`` is the default
            exchange.
        persistent: results survive a restart of the broker; default: ``result_persistent``, else True.
        serializer: default: ``result_serializer``.
        auto_delete: a result that somebody has waited for is deleted; False, here or in
            ``result_backend_transport_options``, leaves it until it expires.
        kwargs: ``url``, ``expires`` (seconds), ``accept`` and ``max_cached_results``, as of any backend.
    """

    Exchange = kombu.Exchange
    Producer = kombu.Producer
    Queue = NoCacheQueue

    BacklogLimitExceeded = BacklogLimitExceeded

    persistent = True
    supports_autoexpire = True
    supports_native_join = True
    supports_result_compression = True

    #: Set by Celery from ``result_compression``, which came with 5.7.
    compression: str | None = None

    retry_policy: dict[str, Any] = {
        "max_retries": 20,
        "interval_start": 0,
        "interval_step": 1,
        "interval_max": 1,
    }

    def __init__(
        self,
        app: Any,
        connection: kombu.Connection | None = None,
        exchange: str | None = None,
        exchange_type: str | None = None,
        persistent: bool | None = None,
        serializer: str | None = None,
        auto_delete: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(app, serializer=serializer, **kwargs)
        conf = app.conf
        if (kwargs.get("max_cached_results") or conf.result_cache_max) == -1:
            self._cache = LRUCache(limit=CACHED)
        options = dict(conf.result_backend_transport_options or ())
        self.auto_delete = bool(options.pop("auto_delete", True)) and auto_delete
        self.persistent = self.prepare_persistent(persistent)
        self.delivery_mode = 2 if self.persistent else 1
        self.exchange = self.Exchange(
            conf.result_exchange if exchange is None else exchange,
            exchange_type or conf.result_exchange_type,
            durable=True,
            delivery_mode=self.delivery_mode,
        )
        if connection is None and self.url not in _SHARED:
            connection = kombu.Connection(
                self.url,
                connect_timeout=conf.broker_connection_timeout,
                heartbeat=conf.broker_heartbeat,
                transport_options=options,
            )
        self._connection = connection

    # -- where

    @cached_property
    def _model(self) -> kombu.Connection:
        """What connections to the broker of results are made like; never used itself."""
        found: kombu.Connection = self._connection or self.app.connection_for_write()
        return found

    @property
    def _reading(self) -> ConnectionPool:
        pooled = self.app.conf.broker_pool_limit
        pool: ConnectionPool = reading[self._model] if pooled else self._model.Pool()
        return pool

    @property
    def _producers(self) -> ProducerPool:
        shared = self._connection is None
        pool: ProducerPool = self.app.amqp.producer_pool if shared else producers[self._connection]
        return pool

    def rkey(self, task_id: str) -> str:
        """Name and routing key of the task's queue: the id without dashes."""
        return rkey(task_id)

    def _create_binding(self, task_id: str) -> kombu.Queue:
        return queue_of(self.Queue, task_id, self.exchange, self.expires)

    def destination_for(self, task_id: str, request: Any) -> tuple[str, str]:
        """Where a result goes: (routing key, correlation id)."""
        return self.rkey(task_id), getattr(request, "correlation_id", None) or task_id

    def on_reply_declare(self, task_id: str) -> list[kombu.Queue]:
        """What is declared before a result is published: the task's queue."""
        return [self._create_binding(task_id)]

    def as_uri(self, include_password: bool = False) -> str:
        """The URL, with ``**`` in the place of the password; ``amqp://`` is the application's broker."""
        return "amqp://" if self.url in _SHARED else str(super().as_uri(include_password))

    # -- storing

    def _store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> None:
        """Publish a state, for ``store_result()``."""
        meta = self._get_result_meta(result=result, state=state, traceback=traceback, request=request)
        meta["task_id"] = task_id
        routing_key, correlation_id = self.destination_for(task_id, request)
        properties = {"routing_key": routing_key, "correlation_id": correlation_id}
        try:
            self._publish(meta, exchange=self.exchange, declare=self.on_reply_declare(task_id), **properties)
        except PreconditionFailed as exc:
            logger.warning("The queue of a result was declared otherwise, where it was waited for: %s", exc)
            self._publish(meta, exchange="", **properties)  # it is there, so no binding is needed

    def _publish(self, meta: Meta, **options: Any) -> None:
        with self._producers.acquire(block=True) as producer:
            producer.publish(
                meta,
                serializer=self.serializer,
                compression=self.compression,
                delivery_mode=self.delivery_mode,
                retry=True,
                retry_policy=self.retry_policy,
                **options,
            )

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Whether ``result_backend_always_retry`` goes on after this one: publishing twice does no harm."""
        return isinstance(exc, (OperationalError, OSError))

    # -- looking

    def get_task_meta(self, task_id: str, backlog_limit: int = 1000, cache: bool = True) -> Meta:
        """The newest state of the task, which stays in its queue; older ones are deleted.

        A queue that is empty, as while somebody else waits, is answered from memory; without that the task is pending.

        Arguments:
            backlog_limit: messages to read at most.
            cache: whether memory is asked.

        Raises:
            BacklogLimitExceeded: so many were read, and there may be more. They are gone but for the last, so
                another attempt gets further.
        """
        self._ensure_not_eager()
        meta = self._fast_forward(task_id, backlog_limit)
        if meta is None and cache:
            meta = self._known(task_id)
        return self._decoded(meta or {"status": states.PENDING, "result": None})

    poll = get_task_meta

    def task_result_exists(self, task_id: str) -> bool:
        """Whether anything is known of the task."""
        return bool(self.get_task_meta(task_id)["status"] != states.PENDING)

    def reload_task_result(self, task_id: str) -> None:
        """Ask the broker again; what it has takes the place of what is remembered."""
        self.get_task_meta(task_id, cache=False)

    def _known(self, task_id: str) -> Meta | None:
        try:
            found: Meta = self._cache[task_id]
        except KeyError:
            return None
        return found

    def _decoded(self, meta: Meta) -> Meta:
        """A copy for the caller, who may change it, with the exception made from what was sent."""
        decoded: Meta = self.meta_from_decoded(dict(meta))
        return decoded

    def _fast_forward(self, task_id: str, backlog_limit: int) -> Meta | None:
        def newest(channel: Any, declare: bool) -> Meta | None:
            queue = self._create_binding(task_id)(channel)
            try:
                if declare:
                    queue.queue_declare()
                return self._newest(queue, task_id, backlog_limit)
            except NotFound:
                return None  # taken by another one, just after it was declared here
            except BaseException:
                channel.connection.client.maybe_close_channel(channel)  # what it holds goes back
                raise

        try:
            meta: Meta | None = self._at_broker(partial(newest, declare=True))
        except PreconditionFailed:  # with another time to expire, by who publishes
            meta = self._at_broker(partial(newest, declare=False))
        if meta is not None:
            self._cache[task_id] = meta
        return meta

    def _newest(self, queue: kombu.Queue, task_id: str, backlog_limit: int) -> Meta | None:
        """Read to the end of the queue and put the last message back."""
        latest = Latest({task_id})
        for _ in range(backlog_limit):
            message = queue.get(accept=self.accept)
            if message is None:
                break
            latest(message)
        else:
            raise self.BacklogLimitExceeded(task_id)
        if not latest.held:
            return None
        latest.held[task_id].requeue()
        return latest.news[-1]

    def _at_broker(self, do: Any) -> Any:
        """What ``do(channel=...)`` returns, tried again as ``retry_policy`` says."""
        with self._reading.acquire(block=True) as connection:
            connection.ensure_connection(**self.retry_policy)
            return connection.autoretry(do, channel=connection.default_channel, **self.retry_policy)()[0]

    # -- letting go

    def _forget(self, task_id: str) -> None:
        def delete(channel: Any) -> None:
            self._create_binding(task_id)(channel).delete()

        self._at_broker(delete)

    def revive(self, channel: Any) -> None:
        """Nothing to do: what was lost with a connection is asked for again."""

    # -- groups: their parts have queues, they themselves have none

    def save_group(self, group_id: str, result: Any) -> None:
        """Not supported."""
        raise _no_groups("save_group")

    def restore_group(self, group_id: str, cache: bool = True) -> None:
        """Not supported."""
        raise _no_groups("restore_group")

    def delete_group(self, group_id: str) -> None:
        """Not supported."""
        raise _no_groups("delete_group")

    def reload_group_result(self, task_id: str) -> None:
        """Not supported."""
        raise _no_groups("reload_group_result")

    def __reduce__(self, args: Any = (), kwargs: Any = None) -> Any:
        own = {
            "connection": self._connection,
            "exchange": self.exchange.name,
            "exchange_type": self.exchange.type,
            "persistent": self.persistent,
            "serializer": self.serializer,
            "auto_delete": self.auto_delete,
            "expires": self.expires,
            "url": self.url,
        }
        return super().__reduce__(args, {**(kwargs or {}), **own})


def _no_groups(method: str) -> NotImplementedError:
    return NotImplementedError(
        f"{method} is not supported by the backend amqp://: results of a group's tasks are messages in their own "
        f"queues; keep the ids of the tasks to find them again"
    )
