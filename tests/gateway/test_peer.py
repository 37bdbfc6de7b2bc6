"""The user behind a connection, asked of the kernel in both possible ways."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs.gateway import peer
from fabric_jobs.gateway.peer import Peer
from tests.gateway.other_user import SOMEBODY, as_user, needs_another_user

CONNECT = """
made = socket.create_connection((sys.argv[1], int(sys.argv[2])))
made.sendall(b"x")
if sys.argv[3] == "stay":
    made.recv(1)
elif sys.argv[3] == "reset":
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\\1\\0\\0\\0\\0\\0\\0\\0")
"""


@pytest.fixture(params=["kernel", "table"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "table":

        def refused(*ends: object) -> None:
            raise PermissionError

        monkeypatch.setattr(peer, "_ask_kernel", refused)


@pytest.fixture(params=["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def listening(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    """Yield a listening socket: on IPv4, on IPv6, and on IPv6 for callers over IPv4."""
    host = request.param
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        try:
            bound.bind((host, 0))
        except OSError as error:
            pytest.skip(f"this machine has no {host}: {error}")
        bound.listen()
        bound.settimeout(30)
        yield bound


def caller_of(listening: socket.socket) -> tuple[str, int]:
    """Return the address to connect to."""
    host, port = listening.getsockname()[:2]
    return host.removeprefix("::ffff:"), port


@pytest.mark.usefixtures("_way")
def test_ones_own_program_may_act(listening: socket.socket) -> None:
    with socket.create_connection(caller_of(listening)), listening.accept()[0] as accepted:
        assert Peer(accepted, is_door=False).may_act_for_tasks


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("ending", ["closed", "reset"])
def test_what_was_sent_and_closed_is_nobodys(listening: socket.socket, ending: str) -> None:
    made = socket.create_connection(caller_of(listening))
    made.sendall(b"x")
    if ending == "reset":
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with listening.accept()[0] as accepted:
        made.close()
        assert not Peer(accepted, is_door=False).may_act_for_tasks


@needs_another_user
@pytest.mark.usefixtures("_way")
def test_another_user_may_not(listening: socket.socket) -> None:
    host, port = caller_of(listening)
    thread = threading.Thread(target=as_user, args=(SOMEBODY, CONNECT, host, port, "stay"))
    thread.start()
    with listening.accept()[0] as accepted:
        assert accepted.recv(1) == b"x"
        assert not Peer(accepted, is_door=False).may_act_for_tasks
    thread.join()


@needs_another_user
@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("ending", ["closed", "reset"])
def test_another_user_who_has_gone_may_not(listening: socket.socket, ending: str) -> None:
    host, port = caller_of(listening)
    ran = as_user(SOMEBODY, CONNECT, host, port, ending)
    assert ran.returncode == 0, ran.stderr
    with listening.accept()[0] as accepted:
        assert not Peer(accepted, is_door=False).may_act_for_tasks


@needs_another_user
def test_over_a_unix_socket_too(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound, socket.socket(socket.AF_UNIX) as mine:
        bound.bind(str(tmp_path / "s"))
        bound.listen()
        mine.connect(str(tmp_path / "s"))
        with bound.accept()[0] as accepted:
            assert Peer(accepted, is_door=False).may_act_for_tasks
        connect = f"""
        made = socket.socket(socket.AF_UNIX)
        made.connect("\\0{tmp_path.name}-{os.getpid()}")
        """
        with socket.socket(socket.AF_UNIX) as open_to_all:  # an abstract name has no file permissions
            open_to_all.bind(f"\0{tmp_path.name}-{os.getpid()}")
            open_to_all.listen()
            ran = as_user(SOMEBODY, connect)
            assert ran.returncode == 0, ran.stderr
            with open_to_all.accept()[0] as accepted:
                assert not Peer(accepted, is_door=False).may_act_for_tasks
                assert Peer(accepted, is_door=True).may_act_for_tasks


def test_an_address_of_this_machine_is_known() -> None:
    for address in ("127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"):
        assert peer._is_of_this_machine(address)
    assert not peer._is_of_this_machine("192.0.2.1") or _has_no_way()


def _has_no_way() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        return probe.connect_ex(("192.0.2.1", 9)) != 0
