"""A port for a server that is yet to listen."""

from __future__ import annotations

import errno
import random
import socket

HOST = "127.0.0.1"
# Below those that a system gives to connections and to servers that ask for any port (from 32768 on Linux, 49152 on macOS): one of
# these could go to another program, or to a connection to itself, before the server listens.
PORTS = range(20_000, 30_000)
TRIES = 1000


def free_port() -> int:
    """Return a port that nobody uses on this machine's own address. Raises OSError if none is found."""
    for port in random.choices(PORTS, k=TRIES):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise OSError(errno.EADDRINUSE, f"no port is free between {PORTS[0]} and {PORTS[-1]}")
