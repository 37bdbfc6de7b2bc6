"""The thread that talks to a cluster."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from fabric_jobs.kubernetes import loop as loops


def test_it_ends_as_soon_as_its_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when something still refers to one of them."""
    monkeypatch.setattr(loops, "CLOSE_SECONDS", 1000.0)
    monkeypatch.setattr(loops, "JOIN_SECONDS", 30.0)
    loop = loops.CallLoop("the-loop-of-this-test")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        _, writer = loop.ask(lambda: asyncio.open_connection(*listening.getsockname()), 30.0)

        async def close() -> None:
            writer.close()

        loop.close(close)
    assert writer.transport.get_extra_info("socket").fileno() == -1
    assert "the-loop-of-this-test" not in [thread.name for thread in threading.enumerate()]


def test_what_loses_a_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `wait_for` of Python 3.11 does when what it waits for ends at the same time."""
    monkeypatch.setattr(loops, "JOIN_SECONDS", 30.0)
    loop = loops.CallLoop("the-loop-of-that-test")
    lost: list[bool] = []

    async def deaf() -> None:
        while True:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                if lost:
                    raise
                lost.append(True)

    async def nothing() -> None:
        pass

    deafened = loop.begin(deaf)
    loop.ask(nothing, 30.0)
    loop.close(nothing)
    assert lost
    assert deafened.done()
    assert "the-loop-of-that-test" not in [thread.name for thread in threading.enumerate()]
