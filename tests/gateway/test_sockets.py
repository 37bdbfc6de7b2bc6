"""Options of the gateway's sockets."""

from __future__ import annotations

import socket

from fabric_jobs.gateway.protocol import guard


def test_answers_are_sent_at_once_and_vanished_callers_noticed() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as bound:
        guard(bound)
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        with socket.create_connection(bound.getsockname()):
            accepted, _ = bound.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
