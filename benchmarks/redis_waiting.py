#!/usr/bin/env python3
"""Three ways to wait for a message on Redis, with 200 idle consumers: who is woken, how soon, at what cost.

    python benchmarks/redis_waiting.py URL

- token:    BRPOP on a list of wake-up tokens, then a script that claims (what kombu-redis does).
- move:     BLMOVE from the queue's list into a list of the consumer's own (one list a wait: one queue, one priority).
- tracking: CLIENT TRACKING of the queue's list, then a script that claims.

For each: messages one by one to idle consumers; the time from before the push until one has it, how many
consumers were woken for it, and how many commands the server carried out.
"""

from __future__ import annotations

import select
import statistics
import sys
import time

import redis
from redis.connection import Connection, ConnectionPool

CONSUMERS, MESSAGES = 200, 300
CLAIM = """local found = redis.call('RPOP', KEYS[1])
if found then redis.call('HSET', KEYS[2], ARGV[1], found) redis.call('ZADD', KEYS[3], 1, ARGV[1]) end
return found"""
PUSH = """redis.call('LPUSH', KEYS[1], ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('LPUSH', KEYS[2], '1') end"""


class Waiter:
    """One consumer; ``start`` begins a wait, ``finish`` takes what there is when its socket is readable."""

    def __init__(self, pool: ConnectionPool, way: str) -> None:
        self.way = way
        self.line: Connection = pool.make_connection()
        self.line.connect()
        if way == "tracking":
            self.ask("CLIENT", "TRACKING", "ON")

    def ask(self, *command: object) -> object:
        self.line.send_command(*command)
        return self.line.read_response()

    def fileno(self) -> int:
        return self.line._sock.fileno()  # a benchmark may; the package does not

    def claim(self) -> object:
        return self.ask("EVAL", CLAIM, 3, "bench:q", "bench:unacked", "bench:index", str(id(self)))

    def start(self) -> None:
        if self.way == "token":
            self.line.send_command("BRPOP", "bench:wake", 0)
        elif self.way == "move":
            self.line.send_command("BLMOVE", "bench:q", f"bench:own:{id(self)}", "RIGHT", "LEFT", 0)
        else:
            self.ask("LLEN", "bench:q")

    def finish(self) -> bool:
        if self.way == "tracking":
            self.line._sock.recv(4096)
            return self.claim() is not None
        found = self.line.read_response()
        return self.claim() is not None if self.way == "token" else found is not None


def measure(url: str, way: str) -> None:
    client = redis.Redis.from_url(url, protocol=2)
    for key in client.scan_iter("bench:*"):
        client.delete(key)
    pool = redis.ConnectionPool.from_url(
        url, protocol=3 if way == "tracking" else 2, max_connections=CONSUMERS
    )
    waiters = [Waiter(pool, way) for _ in range(CONSUMERS)]
    for waiter in waiters:
        waiter.start()
    push = client.register_script(PUSH)
    poll = select.poll()
    by_fd = {waiter.fileno(): waiter for waiter in waiters}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    push(keys=["bench:warm", "bench:warm2"], args=["x"])
    seconds, woken = [], 0
    client.config_resetstat()
    for _ in range(MESSAGES):
        began = time.perf_counter()
        if way == "token":
            push(keys=["bench:q", "bench:wake"], args=["x" * 1000])
        else:
            client.lpush("bench:q", "x" * 1000)
        taken = None
        ready = poll.poll(1000)
        while ready:
            for fd, _ in ready:
                woken += 1
                if by_fd[fd].finish():
                    taken = taken or time.perf_counter()
                by_fd[fd].start()
            ready = poll.poll(1)
        assert taken is not None, "nobody got it"
        seconds.append(taken - began)
    commands = sum(about["calls"] for about in client.info("commandstats").values()) - 1
    cpu = sum(about["usec"] for about in client.info("commandstats").values()) / MESSAGES
    seconds.sort()
    print(
        f"{way:9} p50 {statistics.median(seconds) * 1e3:6.2f} ms  p99 {seconds[int(len(seconds) * 0.99)] * 1e3:6.2f} ms"
        f"  woken {woken / MESSAGES:6.1f}  commands {commands / MESSAGES:6.1f}  server {cpu:7.1f} us  (each message)"
    )
    pool.disconnect()


if __name__ == "__main__":
    for name in ("token", "move", "tracking"):
        measure(sys.argv[1], name)
