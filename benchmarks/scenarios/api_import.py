"""What it takes to import the API's names in a fresh interpreter, and then to connect to ``memory://``."""

import sys
from time import perf_counter, process_time

#: What nobody who does not use it should pay for.
UNWANTED = (
    "amqp",
    "redis",
    "boto3",
    "botocore",
    "yaml",
    "msgpack",
    "ssl",
    "asyncio",
    "multiprocessing",
    "email",
)

bare = set(sys.modules)
began, began_cpu = perf_counter(), process_time()
from kombu import Connection, Consumer, Exchange, Producer, Queue  # noqa: E402, F401

imported, imported_cpu = perf_counter(), process_time()
loaded = set(sys.modules) - bare
Connection("memory://").connect()
connected, connected_cpu = perf_counter(), process_time()

from common import main  # noqa: E402

main(
    lambda: {
        "names": {"wall": imported - began, "cpu": imported_cpu - began_cpu},
        "connected": {"wall": connected - began, "cpu": connected_cpu - began_cpu},
        "modules": len(loaded),
        "unwanted": len(loaded.intersection(UNWANTED)),
    }
)
