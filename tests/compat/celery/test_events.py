"""Events, and the programs that show them: ``celery events --dump``, ``celery amqp``, Flower."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from tests.compat.celery.notes import eventually
from tests.compat.celery.sites import needs
from tests.support.ports import free_port

if TYPE_CHECKING:
    from tests.compat.celery.sites import Site

WAIT = 30

#: What becomes of a task, as its events tell.
STORY = ["task-sent", "task-received", "task-started", "task-succeeded"]


@needs("events")
def test_events_tell_a_tasks_story(site: Site) -> None:
    name = site.shared()
    # Given: somebody who listens
    heard: list[dict[str, Any]] = []
    with site.app.connection_for_read() as connection:
        receiver = site.app.events.Receiver(connection, handlers={"*": heard.append})
        with receiver.consumer_context() as (listening, _, _):
            # When
            sent, failed = site.task("add").delay(1, 2), site.task("fail").delay()

            def tell(of: str) -> list[str]:
                return sorted(event["type"] for event in heard if event.get("uuid") == of)

            def complete() -> bool:
                try:
                    listening.drain_events(timeout=0.5)
                except TimeoutError:
                    pass
                return len(tell(sent.id)) >= 4 and "task-failed" in tell(failed.id)

            # Then
            eventually(complete, "the story")
            assert tell(sent.id) == sorted(STORY)
            assert {event["hostname"] for event in heard if event["type"] == "task-succeeded"} == {name}


@needs("processes", "events")
def test_celery_events_dump(site: Site) -> None:
    site.shared()
    dump = site.command("events", "--dump")
    try:
        dump.await_line("heartbeat: ")
        sent = site.task("add").delay(1, 2)
        dump.await_line(f"task succeeded: .*{sent.id}")
        dump.send(signal.SIGINT)
        dump.await_end()
    finally:
        dump.stop()


def test_celery_amqp(site: Site) -> None:
    # (memory:// too: one shell sees what it does)
    name = f"{site.queue}.shell"
    commands = (
        f"exchange.declare {name} direct",
        f"queue.declare {name}",
        f"queue.bind {name} {name} key",
        f"basic.publish hello {name} key",
        f"basic.publish again '' {name}",
        f"basic.get {name}",
        "basic.ack 1",
        f"queue.purge {name}",
        f"queue.delete {name}",
        f"exchange.delete {name} 0",
    )
    shell = site.command("amqp", "repl", typed="\n".join(commands))
    try:
        shell.await_end()
        assert f"queue:{name} messages:0 consumers:0" in shell.output, shell.output
        assert re.search(r"'body': b?'hello'", shell.output) and "'routing_key': 'key'" in shell.output
        assert "1 messages deleted." in shell.output and "0 messages deleted." in shell.output
        assert shell.output.count("OK") == len(commands) and "rror" not in shell.output, shell.output
    finally:
        shell.stop()


@needs("processes", "events")
def test_flower_sees_the_workers_and_shuts_one_down(site: Site) -> None:
    port = free_port()
    with site.worker(pool="solo") as worker:
        flower = site.command(
            "flower",
            f"--port={port}",
            "--address=127.0.0.1",
            FLOWER_UNAUTHENTICATED_API="true",
        )

        def call(path: str, data: bytes | None = None) -> Any:
            try:
                with urlopen(Request(f"http://127.0.0.1:{port}/api/{path}", data=data), timeout=10) as answer:
                    return json.load(answer)
            except (URLError, OSError):
                return None

        try:
            flower.await_line("Visit me at")
            seen = eventually(lambda: (call("workers?refresh=1") or {}).get(worker.hostname), "seen by Flower")
            assert site.queue in [queue["name"] for queue in seen["active_queues"]]  # type: ignore[index]
            sent = site.task("add").delay(2, 2)
            assert sent.get(WAIT) == 4
            eventually(lambda: (call(f"task/info/{sent.id}") or {}).get("state") == "SUCCESS", "the task")
            assert call(f"worker/shutdown/{worker.hostname}", b"")
            assert worker.await_end() == 0
        finally:
            flower.stop()


@needs("processes", "mingle")
def test_workers_find_each_other(site: Site) -> None:
    queue = f"{site.queue}.mingle"
    with site.worker("--mingle", "--queues", queue, pool="solo"):
        with site.worker("--mingle", "--queues", queue, pool="solo") as second:
            second.await_line("mingle: sync with [1-9]")
