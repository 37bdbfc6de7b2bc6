"""The ports that programs are given."""

from __future__ import annotations

import random
import socket

import pytest

from fabric_jobs.runtime.cortex_worker import ports

DEFAULT_FIRST = 32_768  # of Linux


def test_nobody_else_gets_one_by_chance() -> None:
    """Neither who asks for any port nor a connection, which then would be one to itself."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        first, _ = map(int, file.read().split())
    if first < DEFAULT_FIRST:
        pytest.skip(f"this machine gives ports from {first} on to connections")
    assert max(ports.PORTS) < first
    assert ports.free_port() in ports.PORTS


def test_a_port_that_is_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    free = ports.free_port()
    with socket.create_server((ports.HOST, 0)) as taken:
        number = taken.getsockname()[1]
        monkeypatch.setattr(random, "choices", lambda *_, **__: [number, free])
        assert ports.free_port() == free
        monkeypatch.setattr(random, "choices", lambda *_, **__: [number])
        with pytest.raises(OSError, match="no port is free"):
            ports.free_port()
