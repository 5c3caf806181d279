"""Hosts on a network of their own, whose cables can be pulled: Linux network namespaces, a bridge between them.

Nothing of it is visible outside, and it goes when the test ends. It takes root and iproute2.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Network", "unavailable")

_numbers = count()

#: setns(2): the kind of namespace.
_NETWORK = 0x40000000


class Network:
    """``size`` hosts, ``10.213.0.1`` and so on, and one more for the test itself."""

    def __init__(self, size: int) -> None:
        self._name = f"kombu-{os.getpid()}-{next(_numbers)}"
        self.hosts = [f"10.213.0.{number}" for number in range(1, size + 1)]
        self.own = f"10.213.0.{size + 1}"
        self._made: list[str] = []

    def __enter__(self) -> Network:
        try:
            hub = self._add("hub")
            _ip("-n", hub, "link", "add", "br0", "type", "bridge", "forward_delay", "0")
            _ip("-n", hub, "link", "set", "br0", "up")
            for host in (*self.hosts, self.own):
                self._plug_in(hub, host)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        while self._made:
            _ip("netns", "delete", self._made.pop())

    def _add(self, what: str) -> str:
        name = f"{self._name}-{what}"
        _ip("netns", "add", name)
        self._made.append(name)
        _ip("-n", name, "link", "set", "lo", "up")
        return name

    def _plug_in(self, hub: str, host: str) -> None:
        name, port = self._add(host), _port(host)
        _ip("-n", hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("-n", hub, "link", "set", port, "master", "br0", "up")
        _ip("-n", name, "address", "add", f"{host}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")

    def cut(self, host: str) -> None:
        """Nothing gets to the host or away from it; nobody is told."""
        _ip("-n", f"{self._name}-hub", "link", "set", _port(host), "down")

    def mend(self, host: str) -> None:
        """The other way round."""
        _ip("-n", f"{self._name}-hub", "link", "set", _port(host), "up")

    @contextmanager
    def inside(self, host: str) -> Iterator[None]:
        """Be on that host: this thread, and the threads and processes it starts meanwhile."""
        before = os.open(f"/proc/self/task/{_thread()}/ns/net", os.O_RDONLY)
        there = os.open(f"/var/run/netns/{self._name}-{host}", os.O_RDONLY)
        try:
            _enter(there)
            try:
                yield
            finally:
                _enter(before)
        finally:
            os.close(there)
            os.close(before)


def unavailable() -> str:
    """Why there can be no namespaces here, or nothing."""
    if shutil.which("ip") is None:
        return "needs iproute2"
    try:
        with Network(1) as network, network.inside(network.own):
            return ""
    except (OSError, subprocess.CalledProcessError) as exc:
        return f"needs the right to make network namespaces: {exc}"


def _port(host: str) -> str:
    return f"port{host.rpartition('.')[2]}"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)


def _thread() -> int:
    return threading.get_native_id()


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _NETWORK):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
