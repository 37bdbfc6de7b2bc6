"""Requests to daemons, and the addresses tried if one listens elsewhere than it was told."""

from __future__ import annotations

import os
import socket

import pytest

from fabric_jobs.definitions import Action
from fabric_jobs.engine.calls.connection import Server
from fabric_jobs.engine.calls.daemons import SETTLED_SECONDS, Elsewhere
from fabric_jobs.engine.calls.target import DaemonTarget, ExternalTarget
from fabric_jobs.executors import listening
from fabric_jobs.routing import Node

OWN = {"headers.X-Flavour": "sour", "headers.X-Size": 3, "headers.Content-Length": "9", "url": "http://localhost"}


@pytest.mark.parametrize("is_daemon", [True, False])
def test_headers_of_properties_are_sent_and_those_of_the_caller_win(is_daemon: bool) -> None:
    node = Node(key="a", ref_id="a", skill_name="a", input="i", action=Action(name="a"), output="o", properties=OWN)
    given = {"x-flavour": "sweet", "content-length": "70"}
    if is_daemon:
        request = DaemonTarget(node=node, envelope={}, headers=given).request("h")
    else:
        request = ExternalTarget.of(node, given).request
    sent = {name.lower(): value for name, value in request.headers.items() if not name.lower().startswith("accept")}
    assert sent == {"x-flavour": "sweet", "x-size": "3", "content-type": "application/json"}


def test_the_kernel_tells_what_a_process_listens_on() -> None:
    with (
        socket.create_server(("0.0.0.0", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
        socket.socket() as silent,
    ):
        silent.bind(("127.0.0.1", 0))
        wanted = {("127.0.0.1", each.getsockname()[1]) for each in (one, two)}
        found = set(listening.ends([os.getpid()]))
        assert wanted <= found
        assert silent.getsockname()[1] not in {port for _, port in found}
    assert not wanted & set(listening.ends([os.getpid()]))


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6")
def test_an_address_of_IPv6_is_told_as_one_connects_to_it() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        assert ("::1", server.getsockname()[1]) in listening.ends([os.getpid()])


def test_the_declared_port_is_tried_at_once_and_another_one_when_it_stays_the_only_one() -> None:
    told, declared, other = (Server(host="127.0.0.1", port=port) for port in (1, 2, 3))
    assert Elsewhere(told, 2).look(declared, 0.0) == declared
    looked = Elsewhere(told, 2)
    assert looked.look(other, 10.0) == told
    assert looked.look(other, 10.0 + SETTLED_SECONDS) == other
    assert looked.look(told, 20.0) == told
    assert looked.look(other, 30.0) == told
