"""Daemons as Deployments: they answer whatever happens to a pod, and leave nothing behind."""

from __future__ import annotations

import threading
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.clock import steady
from fabric_jobs.engine.calls import daemons
from fabric_jobs.executors.kubernetes import KubernetesExecutor
from tests.engine.bench import Bench
from tests.factories import save_skill, skill_document
from tests.kubernetes.live import OURS, KubernetesLive
from tests.kubernetes_place import BASE_IMAGE, KUBECONFIG, found, needs_cluster, until
from tests.kubernetes_place import namespace as namespace

pytestmark = needs_cluster

SERVER = """
import json, os, socket, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        envelope = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"payload": [envelope["payload"] * FACTOR, socket.gethostname()]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass

print("listens", flush=True)
ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""


def daemon(live: KubernetesLive, program: str = SERVER, *, factor: int = 2, **action: Any) -> None:
    program = program.replace("FACTOR", str(factor))
    live.inline("each", program, runtime="cortex/daemons", type="daemon", port="5000", **action)


def answer(live: KubernetesLive, number: int = 1) -> tuple[int, str]:
    """Invoke the daemon; return its answer and the pod that gave it."""
    value, host = live.invoke("each", number)["response"]
    return value, host


def answering(live: KubernetesLive, count: int) -> set[str]:
    """Return the pods that answer, once there are as many."""
    hosts: set[str] = set()

    def all_have() -> bool:
        hosts.add(answer(live)[1])
        return len(hosts) >= count

    until(all_have, f"{count} pods answer")
    return hosts


def test_both_pods_answer_and_calls_go_on_when_one_is_deleted(live: KubernetesLive) -> None:
    daemon(live, scaleCount=2)
    assert answer(live, 21)[0] == 42
    first, second = answering(live, 2)
    assert set(live.names("pods")) == {first, second}
    live.delete_pod(first)
    hosts = {answer(live)[1] for _ in range(20)}
    assert second in hosts
    until(lambda: answer(live)[1] not in (first, second), "the cluster has replaced the pod")
    live.stop_owner()  # which deletes it, and does not wait for ever
    until(lambda: not live.left(), "nothing of it is left")


def test_a_daemon_outlives_an_owner_that_was_killed_and_is_found_again(live: KubernetesLive) -> None:
    daemon(live, scaleCount=2)
    answering(live, 2)
    before = live.names("deployments"), sorted(live.names("pods"))
    live.kill_owner()
    answering(live, 2)
    assert (live.names("deployments"), sorted(live.names("pods"))) == before
    live.stop_owner()  # which deletes it, and does not wait for ever
    until(lambda: not live.left(), "nothing of it is left")


def test_another_version_is_another_deployment(live: KubernetesLive) -> None:
    daemon(live, scaleCount=2)
    assert answer(live, 2)[0] == 4
    (old,) = live.names("deployments")
    daemon(live, scaleCount=1, factor=30)
    assert answer(live, 2)[0] == 60
    until(lambda: old not in live.names("deployments"), "the old one has ended")
    assert answer(live, 3)[0] == 90
    (new,) = live.names("deployments")
    assert new != old
    assert len(answering(live, 1)) == 1


def test_a_daemon_that_never_listens_says_so_and_is_gone(
    tmp_path: Path, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", KUBECONFIG)
    program = "import time; print('asleep', flush=True); time.sleep(1000)"
    document = skill_document("each", type="daemon", image=BASE_IMAGE, command=["python3", "-c", program])
    document["inputs"][0]["routing"]["all"]["runtime"] = "cortex/daemons"
    del document["actions"][0]["response"]
    executor = KubernetesExecutor(tmp_path / "attempts")
    late = count(step=10)  # the clock goes fast once the program runs
    has_address = threading.Event()
    address = executor.address

    def found_address(handle: str) -> tuple[str, int]:
        where = address(handle)
        has_address.set()
        return where

    monkeypatch.setattr(executor, "address", found_address)
    monkeypatch.setattr(daemons, "steady", lambda: steady() + (next(late) if has_address.is_set() else 0))
    bench = Bench(tmp_path, others={"kubernetes": executor}, daemon_start_seconds=60.0)
    try:
        save_skill(bench.store, document)
        activation = bench.ended(bench.invoke("skill", "each", 1, executor="kubernetes"))
        assert "the daemon did not listen on port 5000 (PORT) of all addresses (0.0.0.0)" in str(activation.cause)
        until(lambda: found("pods", namespace, OURS) == [], "nothing of it is left")
    finally:
        bench.close()
        executor.close()


def test_a_daemon_that_ends_at_once_says_why(live: KubernetesLive) -> None:
    daemon(live, "import sys; print('no model here'); sys.exit(3)")
    ran = live.run("skills", "invoke", "each", "--payload", 1)
    assert ran.code == 1
    assert "before it listened on port 5000 (PORT)" in ran.err
    assert "exit code 3" in ran.err
    assert "no model here" in ran.err
    until(lambda: live.left() == [], "nothing of it is left")


def test_an_image_that_is_not_there_is_said_in_the_words_of_the_cluster(live: KubernetesLive) -> None:
    daemon(live, image="a b")
    ran = live.run("skills", "invoke", "each", "--payload", 1)
    assert ran.code == 1
    assert "InvalidImageName" in ran.err
    until(lambda: live.left() == [], "nothing of it is left")


def test_a_daemon_without_copies_is_refused(live: KubernetesLive) -> None:
    daemon(live, scaleCount=0)
    ran = live.run("skills", "invoke", "each", "--payload", 1)
    assert ran.code == 1
    assert "scaleCount is 0" in ran.err
