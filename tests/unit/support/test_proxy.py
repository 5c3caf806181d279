"""The proxy of the tests does what a network could do, and nothing else."""

from __future__ import annotations

import socket

from tests.support.proxy import Proxy


def test_a_pause_in_the_middle_of_a_chunk_loses_nothing() -> None:
    # Given
    with socket.create_server(("127.0.0.1", 0)) as server, Proxy(server.getsockname()) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
            peer, _ = server.accept()
            with peer:
                peer.settimeout(10)
                # When
                proxy.cut_after(3, "pause")
                client.sendall(b"0123456789")
                assert proxy.failed.wait(10)
                before = peer.recv(100)
                proxy.heal()
                # Then
                after = b""
                while len(after) < 7:
                    after += peer.recv(100)
                assert (before, after) == (b"012", b"3456789")
