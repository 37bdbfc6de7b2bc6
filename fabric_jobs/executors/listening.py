"""Asks the kernel on which ports processes of this machine listen."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
TABLES = ("tcp", "tcp6")
LISTENS = "0A"  # a listening socket's state in the kernel's tables
MAPPED = bytes(10) + b"\xff\xff"  # the prefix of an IPv4 address in IPv6
LOCALHOST = "127.0.0.1"

End = tuple[str, int]  # host and port to connect to


def ends(pids: Iterable[int]) -> tuple[End, ...]:
    """Return where processes listen. Ended processes are skipped; without /proc there is nothing."""
    found: dict[int, str] = {}
    for pid in pids:
        own = set(_sockets(pid))
        for host, port, inode in _listeners(pid) if own else ():
            if inode in own and found.get(port) != LOCALHOST:
                found[port] = host
    return tuple(sorted(((host, port) for port, host in found.items()), key=lambda end: end[1]))


def _sockets(pid: int) -> Iterator[str]:
    """Yield the inodes of a process's sockets."""
    with suppress(OSError):
        for entry in os.scandir(PROC / str(pid) / "fd"):
            with suppress(OSError):
                kind, _, inode = os.readlink(entry.path).partition(":[")
                if kind == "socket":
                    yield inode.rstrip("]")


def _listeners(pid: int) -> Iterator[tuple[str, int, str]]:
    """Yield host, port and inode of every listening socket in a process's network namespace."""
    for name in TABLES:
        with suppress(OSError):
            for line in (PROC / str(pid) / "net" / name).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == LISTENS:
                    address, _, port = words[1].partition(":")
                    yield _host(address), int(port, 16), words[9]


def _host(text: str) -> str:
    """Return the host to connect to, from the table's hex digits in this machine's byte order."""
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words).removeprefix(MAPPED)
    if not any(packed):
        return LOCALHOST  # all addresses
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
