"""The examples of kombu's documentation, on memory://: the URL is what was changed.

Where an example goes on for ever (``while True: drain_events()``), its callback ends it by raising ``Enough``.
"""

from __future__ import annotations

import datetime
import logging
import socket
import threading
from contextlib import closing
from time import time

import pytest

from kombu import Connection, Consumer, Exchange, Producer, Queue, pools
from kombu.common import eventloop
from kombu.exceptions import ConnectionLimitExceeded, NotBoundError
from kombu.log import get_logger
from kombu.mixins import ConsumerMixin, ConsumerProducerMixin
from kombu.pools import connections, producers
from kombu.simple import SimpleBuffer, SimpleQueue
from kombu.utils.compat import nested
from kombu.utils.functional import reprcall


class Enough(Exception):
    """The example has shown what it is to show."""


@pytest.fixture
def url(memory_url):
    yield memory_url
    pools.reset()


def drain_until_enough(connection):
    with pytest.raises(Enough):
        while True:
            connection.drain_events(timeout=10)


# -- quick overview

media_exchange = Exchange("media", "direct", durable=True)
video_queue = Queue("video", exchange=media_exchange, routing_key="video")


def test_quick_overview(url):
    got = []

    def process_media(body, message):
        got.append(body)
        message.ack()
        raise Enough

    # connections
    with Connection(url) as conn:
        # produce
        producer = conn.Producer(serializer="json")
        producer.publish(
            {"name": "/tmp/lolcat1.avi", "size": 1301013},
            exchange=media_exchange,
            routing_key="video",
            declare=[video_queue],
        )
        # consume
        with conn.Consumer(video_queue, callbacks=[process_media]):
            drain_until_enough(conn)
    assert got == [{"name": "/tmp/lolcat1.avi", "size": 1301013}]


def test_consume_from_several_queues_on_the_same_channel(url):
    got = []

    def process_media(body, message):
        got.append(body)
        message.ack()
        if len(got) == 2:
            raise Enough

    video_queue = Queue("video", exchange=media_exchange, key="video")
    image_queue = Queue("image", exchange=media_exchange, key="image")
    with Connection(url) as connection:
        with connection.Consumer([video_queue, image_queue], callbacks=[process_media]):
            for kind in ("video", "image"):
                connection.Producer().publish(kind, exchange=media_exchange, routing_key=kind)
            drain_until_enough(connection)
    assert sorted(got) == ["image", "video"]


def test_handle_channels_manually_and_outside_of_with(url):
    got = []

    def my_callback(body, message):
        got.append(body)
        message.ack()

    connection = Connection(url)
    with connection.channel() as channel:
        producer = Producer(channel)
        consumer = Consumer(channel, Queue("q"))
        consumer.register_callback(my_callback)
        consumer.consume()
        producer.publish("x", routing_key="q")
        connection.drain_events(timeout=10)
        consumer.cancel()
    connection.release()
    assert got == ["x"] and not connection.connected


def test_bound_and_unbound(url):
    exchange = Exchange("tasks", "direct")
    connection = Connection(url)
    bound_exchange = exchange(connection)
    bound_exchange.declare()
    bound_exchange.delete()

    # the original exchange is not affected, and stays unbound.
    with pytest.raises(NotBoundError):
        exchange.delete()
    connection.release()


# -- user guide: connections


def test_connections_are_lazy(url):
    connection = Connection(url)
    assert not connection.connected
    connection.connect()
    assert connection.connected
    connection.close()
    assert not connection.connected
    connection.release()


# -- user guide: producers


def test_producers(url):
    task_queue = Queue("tasks", Exchange("tasks"), routing_key="tasks")
    with Connection(url) as connection:
        producer = connection.Producer()
        producer.publish(
            {"hello": "world"},
            retry=True,
            retry_policy={
                "interval_start": 0,  # First retry immediately,
                "interval_step": 2,  # then increase by 2s for every retry.
                "interval_max": 30,  # but don't exceed 30s between retries.
                "max_retries": 30,  # give up after 30 tries.
            },
            exchange=task_queue.exchange,
            routing_key=task_queue.routing_key,
            declare=[task_queue],  # declares exchange, queue and binds.
        )
        # Bypassing routing by using the anon-exchange
        producer.publish({"hello": "queue"}, exchange="", routing_key=task_queue.name)
        producer.publish({"hello": "pickle"}, routing_key="tasks", serializer="pickle")
        # Sending raw data without Serialization
        producer.publish(
            b"\x89PNG", content_type="image/jpeg", content_encoding="binary", routing_key=task_queue.name
        )

        bound = task_queue(connection)
        got = [bound.get(no_ack=True, accept=["json", "pickle", "image/jpeg"]) for _ in range(4)]
    assert [message.payload for message in got] == [
        {"hello": "world"},
        {"hello": "queue"},
        {"hello": "pickle"},
        b"\x89PNG",
    ]
    assert got[3].content_type == "image/jpeg" and got[3].content_encoding == "binary"


def test_a_producer_on_a_channel(url):
    with Connection(url) as conn:
        with conn.channel() as channel:
            producer = Producer(channel)
            producer.publish({"hello": "world"}, routing_key="q", declare=[Queue("q")])
        assert Queue("q")(conn).get().payload == {"hello": "world"}


def test_ensure_on_a_producer(url):
    conn = Connection(url)
    producer = Producer(conn)
    queue = Queue("dest")

    def errback(exc, interval):
        raise AssertionError("not needed here")

    publish = conn.ensure(producer, producer.publish, errback=errback, max_retries=3)
    publish({"hello": "world"}, routing_key="dest", declare=[queue])
    assert queue(conn).get().payload == {"hello": "world"}
    conn.release()


# -- user guide: consumers


def test_draining_events_from_a_single_consumer(url):
    got = []
    with Connection(url) as connection:
        connection.Producer().publish("x", routing_key="q", declare=[Queue("q")])
        with Consumer(connection, [Queue("q")], accept=["json", "text/plain"], callbacks=[lambda b, m: got.append(b)]):
            connection.drain_events(timeout=10)
            with pytest.raises(socket.timeout):
                connection.drain_events(timeout=0.01)
    assert got == ["x"]


def test_draining_events_from_several_consumers(url):
    got = []
    queues1, queues2 = [Queue("q1")], [Queue("q2")]
    callbacks = [lambda body, message: got.append(body)]
    with Connection(url) as connection:
        with connection.channel() as channel1, connection.channel() as channel2:
            with nested(
                Consumer(channel1, queues1, accept=["json"], callbacks=callbacks),
                Consumer(channel2, queues2, accept=["json"], callbacks=callbacks),
            ):
                for name in ("q1", "q2"):
                    connection.Producer().publish([name], routing_key=name)
                for _ in eventloop(connection, limit=2, timeout=10):
                    pass
    assert sorted(got) == [["q1"], ["q2"]]


def test_consumer_mixin(url):
    got = []
    queues = [Queue("q")]

    class C(ConsumerMixin):
        def __init__(self, connection):
            self.connection = connection

        def get_consumers(self, Consumer, channel):
            return [
                Consumer(queues, callbacks=[self.on_message], accept=["json"]),
            ]

        def on_message(self, body, message):
            got.append(f"RECEIVED MESSAGE: {body!r}")
            message.ack()
            self.should_stop = True

    with Connection(url) as connection:
        connection.Producer().publish({"a": 1}, routing_key="q", declare=queues)
        C(connection).run()
    assert got == ["RECEIVED MESSAGE: {'a': 1}"]


def test_consumer_mixin_with_several_channels(url):
    got = []
    queues1, queues2 = [Queue("q1")], [Queue("q2")]

    class C(ConsumerMixin):
        channel2 = None

        def __init__(self, connection):
            self.connection = connection

        def get_consumers(self, _, default_channel):
            # The documentation's default_channel.connection.channel() works where that is an AMQP connection.
            self.channel2 = default_channel.connection.channel()
            return [
                Consumer(default_channel, queues1, callbacks=[self.on_message], accept=["json"]),
                Consumer(self.channel2, queues2, callbacks=[self.on_special_message], accept=["json"]),
            ]

        def on_message(self, body, message):
            got.append(body)
            message.ack()
            self.should_stop = len(got) == 2

        def on_special_message(self, body, message):
            self.on_message(["special", *body], message)

        def on_consume_end(self, connection, default_channel):
            if self.channel2:
                self.channel2.close()

    with Connection(url) as connection:
        for number, queue in enumerate((*queues1, *queues2)):
            connection.Producer().publish([number], routing_key=queue.name, declare=[queue])
        C(connection).run()
    assert sorted(got, key=str) == [["special", 1], [0]]


# -- RPC (user guide: ConsumerProducerMixin)


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


class FibonacciServer(ConsumerProducerMixin):
    rpc_queue = Queue("rpc_queue")

    def __init__(self, connection):
        self.connection = connection

    def get_consumers(self, Consumer, channel):
        return [
            Consumer(
                queues=[self.rpc_queue],
                on_message=self.on_request,
                accept={"application/json"},
                prefetch_count=1,
            )
        ]

    def on_request(self, message):
        n = message.payload["n"]
        result = fib(n)
        self.producer.publish(
            {"result": result},
            exchange="",
            routing_key=message.properties["reply_to"],
            correlation_id=message.properties["correlation_id"],
            serializer="json",
            retry=True,
        )
        message.ack()
        self.should_stop = n == 0


class FibonacciClient:
    def __init__(self, connection):
        self.connection = connection
        self.callback_queue = Queue("answers", exclusive=True, auto_delete=True)

    def on_response(self, message):
        if message.properties["correlation_id"] == self.correlation_id:
            self.response = message.payload["result"]

    def call(self, n):
        self.response = None
        self.correlation_id = f"call-{n}"
        with Producer(self.connection) as producer:
            producer.publish(
                {"n": n},
                exchange="",
                routing_key="rpc_queue",
                declare=[self.callback_queue, Queue("rpc_queue")],
                reply_to=self.callback_queue.name,
                correlation_id=self.correlation_id,
            )
        with Consumer(self.connection, on_message=self.on_response, queues=[self.callback_queue], no_ack=True):
            while self.response is None:
                self.connection.drain_events(timeout=10)
        return self.response


def test_rpc(url):
    with Connection(url) as served, Connection(url) as asking:
        server = threading.Thread(target=FibonacciServer(served).run)
        server.start()
        client = FibonacciClient(asking)
        answers = [client.call(n) for n in (10, 5, 0)]
        server.join(10)
    assert answers == [55, 5, 0] and not server.is_alive()


# -- examples: hello world


def test_hello_world(url, capsys):
    # hello_publisher.py
    with Connection(url) as conn:
        simple_queue = conn.SimpleQueue("simple_queue")
        message = f"helloworld, sent at {datetime.datetime.today()}"
        simple_queue.put(message)
        print(f"Sent: {message}")
        simple_queue.close()

    # hello_consumer.py
    with Connection(url) as conn:
        simple_queue = conn.SimpleQueue("simple_queue")
        message = simple_queue.get(block=True, timeout=1)
        print(f"Received: {message.payload}")
        message.ack()
        simple_queue.close()
    sent, received = capsys.readouterr().out.splitlines()
    assert sent.removeprefix("Sent: ") == received.removeprefix("Received: ")


# -- examples: task queue

# queues.py
task_exchange = Exchange("tasks", type="direct")
task_queues = [
    Queue("hipri", task_exchange, routing_key="hipri"),
    Queue("midpri", task_exchange, routing_key="midpri"),
    Queue("lopri", task_exchange, routing_key="lopri"),
]

# worker.py
logger = get_logger(__name__)


class Worker(ConsumerMixin):
    def __init__(self, connection):
        self.connection = connection

    def get_consumers(self, Consumer, channel):
        return [Consumer(queues=task_queues, accept=["pickle", "json"], callbacks=[self.process_task])]

    def process_task(self, body, message):
        fun = body["fun"]
        args = body["args"]
        kwargs = body["kwargs"]
        logger.info("Got task: %s", reprcall(fun.__name__, args, kwargs))
        try:
            fun(*args, **kwargs)
        except Exception as exc:
            logger.error("task raised exception: %r", exc)
        message.ack()
        self.should_stop = fun is stop_task


# tasks.py
def hello_task(who="world"):
    print(f"Hello {who}")


def stop_task():
    raise ValueError("stopping")


# client.py
priority_to_routing_key = {
    "high": "hipri",
    "mid": "midpri",
    "low": "lopri",
}


def send_as_task(connection, fun, args=(), kwargs={}, priority="mid"):  # noqa: B006 - as documented
    payload = {"fun": fun, "args": args, "kwargs": kwargs}
    routing_key = priority_to_routing_key[priority]

    with producers[connection].acquire(block=True) as producer:
        producer.publish(
            payload,
            serializer="pickle",
            compression="bzip2",
            exchange=task_exchange,
            declare=[task_exchange],
            routing_key=routing_key,
        )


def test_task_queue(url, capsys, caplog):
    with Connection(url) as conn:
        for queue in task_queues:  # as a worker that ran before has left them
            queue(conn).declare()
        connection = Connection(url)
        send_as_task(connection, fun=hello_task, args=("Kombu",), kwargs={}, priority="high")
        send_as_task(connection, fun=hello_task, kwargs={"who": "low"}, priority="low")

        class Once(Worker):
            def process_task(self, body, message):
                super().process_task(body, message)
                self.done = getattr(self, "done", 0) + 1
                if self.done == 2:
                    send_as_task(connection, fun=stop_task)

        with caplog.at_level(logging.INFO, logger.name):
            logger.propagate = True
            Once(conn).run()
    assert sorted(capsys.readouterr().out.splitlines()) == ["Hello Kombu", "Hello low"]
    assert "task raised exception: ValueError('stopping')" in caplog.text
    assert "Got task: hello_task('Kombu')" in caplog.text


# -- user guide: simple interface


class Logger:
    def __init__(self, connection, queue_name="log_queue", serializer="json", compression=None):
        self.queue = connection.SimpleQueue(queue_name)
        self.serializer = serializer
        self.compression = compression

    def log(self, message, level="INFO", context={}):  # noqa: B006 - as documented
        self.queue.put(
            {
                "message": message,
                "level": level,
                "context": context,
                "hostname": socket.gethostname(),
                "timestamp": time(),
            },
            serializer=self.serializer,
            compression=self.compression,
        )

    def process(self, callback, n=1, timeout=1):
        for _ in range(n):
            log_message = self.queue.get(block=True, timeout=1)
            entry = log_message.payload  # deserialized data.
            callback(entry)
            log_message.ack()  # remove message from queue

    def close(self):
        self.queue.close()


def test_simple_interface(url):
    entries = []
    with Connection(url) as conn, closing(Logger(conn)) as logger:
        # Send message
        logger.log("Error happened while encoding video", level="ERROR", context={"filename": "cutekitten.mpg"})

        # Consume and process message
        def dump_entry(entry):
            date = datetime.datetime.fromtimestamp(entry["timestamp"])
            entries.append((date.year > 2000, entry["level"], entry["message"], entry["context"]))

        logger.process(dump_entry, n=1)
    assert entries == [(True, "ERROR", "Error happened while encoding video", {"filename": "cutekitten.mpg"})]


def test_simple_queues_on_a_channel(url):
    connection = Connection(url)
    channel = connection.channel()
    for kind in (SimpleQueue, SimpleBuffer):
        queue = kind(channel, f"my{kind.__name__}")
        queue.put("x")
        assert queue.get(timeout=10).payload == "x"
        queue.close()
    channel.close()
    connection.release()


# -- user guide: pools


def test_pools(url):
    connection = Connection(url)
    assert connections[Connection(url)] is connections[Connection(url)]
    with connections[connection].acquire(block=True) as conn:
        assert conn is not connection and conn.as_uri() == connection.as_uri()

    # The exchange we send our news articles to.
    news_exchange = Exchange("news")
    article = {"title": "No cellular coverage on the tube for 2012", "ingress": "yadda yadda yadda"}
    inbox = Queue("inbox", news_exchange, routing_key="domestic")
    inbox(connection).declare()
    with producers[connection].acquire(block=True) as producer:
        producer.publish(
            article,
            exchange=news_exchange,
            routing_key="domestic",
            declare=[news_exchange],
            serializer="json",
            compression="zlib",
        )
    assert inbox(connection).get().payload == article
    connection.release()


def test_custom_pool_groups_and_limits(url):
    connection = Connection(url)
    own = pools.Connections(limit=2)
    with own[connection].acquire(block=True), own[connection].acquire():
        with pytest.raises(ConnectionLimitExceeded):
            own[connection].acquire()
    pool = connection.Pool(2)
    c1, c2 = pool.acquire(), pool.acquire()
    with pytest.raises(ConnectionLimitExceeded):
        pool.acquire()
    c1.release()
    c3 = pool.acquire()
    assert c3 is c1
    c2.release()
    c3.release()
    own[connection].force_close_all()
    pool.force_close_all()


# -- reference: exchanges and queues, the event loop


def test_exchanges_and_queues(url):
    with Connection(url) as connection, connection.channel() as channel:
        news_exchange = Exchange("news", type="topic")
        bound_exchange = news_exchange(channel)
        # Declare exchange manually
        bound_exchange.declare()

        science_news = Queue("science_news", exchange=news_exchange, routing_key="news.science")
        bound_science_news = science_news(channel)
        bound_science_news.declare()

        # Publish raw string message using low-level exchange API
        bound_exchange.publish("Cure for cancer found!", routing_key="news.science")
        assert bound_science_news.get(no_ack=True).payload == "Cure for cancer found!"

        bound_science_news.purge()
        bound_science_news.delete()
        bound_exchange.delete()


def test_the_event_loop(url):
    got = []
    with Connection(url) as conn:
        with conn.Consumer(Queue("q"), callbacks=[lambda body, message: got.append(body)], no_ack=True):
            for number in range(3):
                conn.Producer().publish(number, routing_key="q")
            it = eventloop(conn, timeout=1, ignore_timeouts=True)
            next(it)  # one event consumed, or timed out.
            for _ in eventloop(conn, limit=2, timeout=1):
                pass
    assert got == [0, 1, 2]
