"""Identifies the user at the other end of a connection: a token seen in `ps` is useless to other users of this machine.

The kernel knows whose a socket is. It is asked once for each connection, when a task's token first arrives on it.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

End = tuple[str, int]  # address and port

PROC_NET = Path("/proc/net")
CREDENTIALS = struct.Struct("iII")  # process, user, group
# A request for one socket, by its ends, and the beginning of its answer: linux/netlink.h, linux/inet_diag.h.
SOCK_DIAG, BY_FAMILY, ERROR, IS_REQUEST = 4, 20, 2, 1
HEADER, QUERY, COOKIE = struct.Struct("=IHHII"), struct.Struct("=BBBBI"), b"\xff" * 8
FOUND = struct.Struct("=4x48x12xII")  # user, inode
MAPPED = bytes(10) + b"\xff\xff"  # the prefix of an IPv4 address written as IPv6


class PeerGone(Exception):
    """The other side has closed its socket, so the kernel no longer knows whose it was."""


class Peer:
    """The other side of one connection."""

    def __init__(self, connection: socket.socket, *, is_door: bool) -> None:
        """`is_door`: a Unix socket for containers, whose programs run as any user. Other users of this machine cannot reach it."""
        self._connection = connection
        self._is_door = is_door
        self._may_act: bool | None = None

    @property
    def may_act_for_tasks(self) -> bool:
        """Whether tasks' tokens are accepted here: from this user's programs, containers, and admitted other machines."""
        if self._may_act is None:
            try:
                self._may_act = self._is_door or self._look()
            except (OSError, PeerGone):
                self._may_act = False
        return self._may_act

    def _look(self) -> bool:
        if self._connection.family == socket.AF_UNIX:
            return _is_trusted(_user_of_unix(self._connection))
        theirs, ours = self._connection.getpeername()[:2], self._connection.getsockname()[:2]
        user = user_of(theirs, ours)
        if user is not None:
            return _is_trusted(user)
        # Docker rewrites the source address of connections from here to its network. Then the user is unknown: refuse.
        return not PROC_NET.is_dir() or not _is_of_this_machine(theirs[0])


def user_of(theirs: End, ours: End) -> int | None:
    """Return the user of the socket at the other end of a TCP connection; None if it is on another machine.

    Raises PeerGone if it has been closed. Then nothing sent before counts, since anybody could have sent it.
    """
    try:
        found = _ask_kernel(theirs, ours)
    except OSError:  # not supported by this kernel, or not permitted
        found = _search_table(theirs, ours)
    if found is None:
        return None
    user, inode = found
    if not inode:
        raise PeerGone
    return user


def _is_trusted(user: int) -> bool:
    return user in (os.geteuid(), 0)  # root could read the key that tokens are signed with


def _user_of_unix(connection: socket.socket) -> int:
    if not hasattr(socket, "SO_PEERCRED"):
        return os.geteuid()  # the permissions of the socket's directory must suffice
    said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    user: int = CREDENTIALS.unpack(said)[1]
    return user


def _ask_kernel(theirs: End, ours: End) -> tuple[int, int] | None:
    """Return user and inode of a socket; None if there is no such socket. This takes 15 µs; the table would take 3 ms."""
    source, destination = _packed(theirs[0]), _packed(ours[0])
    family = socket.AF_INET if len(source) == 4 else socket.AF_INET6
    query = QUERY.pack(family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF)
    query += struct.pack("!HH16s16s4x", theirs[1], ours[1], source, destination) + COOKIE
    with socket.socket(getattr(socket, "AF_NETLINK", -1), socket.SOCK_DGRAM, SOCK_DIAG) as kernel:
        kernel.send(HEADER.pack(HEADER.size + len(query), BY_FAMILY, IS_REQUEST, 0, 0) + query)
        answer = kernel.recv(65_536)
    kind = HEADER.unpack_from(answer)[1]
    if kind == BY_FAMILY:
        user, inode = FOUND.unpack_from(answer, HEADER.size)
        return user, inode
    (number,) = struct.unpack_from("=i", answer, HEADER.size)
    if kind == ERROR and -number == errno.ENOENT:
        return None
    raise OSError(-number, os.strerror(-number))


def _search_table(theirs: End, ours: End) -> tuple[int, int] | None:
    """Return the same as `_ask_kernel`, from the table of all connections."""
    wanted = [f"{_in_table(theirs, mapped)} {_in_table(ours, mapped)}" for mapped in (False, True)]
    for line in _table():
        if line.partition(": ")[2].startswith(tuple(wanted)):
            words = line.split()
            return int(words[7]), int(words[9])
    return None


def _table() -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        path = PROC_NET / name
        if path.exists():
            yield from path.read_text().splitlines()


def _in_table(end: End, mapped: bool) -> str:
    """Return an end in the table's form: the address in words of this machine's byte order."""
    packed = _packed(end[0])
    if mapped and len(packed) == 4:
        packed = MAPPED + packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return f"{''.join(f'{word:08X}' for word in words)}:{end[1]:04X}"


def _packed(address: str) -> bytes:
    if ":" not in address:
        return socket.inet_pton(socket.AF_INET, address)
    packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    return packed.removeprefix(MAPPED)


def _is_of_this_machine(address: str) -> bool:
    """Tell whether an address belongs to this machine: the route to it then starts at itself. Nothing is sent."""
    packed = _packed(address)
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    text = socket.inet_ntop(family, packed)
    if text == "::1" or text.startswith("127."):
        return True
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((text, 9))
        except OSError:
            return True  # unknown; another machine would have a route back
        return bool(probe.getsockname()[0] == text)
