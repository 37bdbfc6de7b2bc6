"""Whatever happens to the owner, a command or a record, no container is started twice, and none is left behind."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.acceptance.live import until
from tests.docker.live import DockerLive
from tests.docker_place import docker, needs_docker

pytestmark = needs_docker

RECORDS = 3000
SOURCE = """
import time
with open(ROOT / "starts", "a") as file: file.write("source\\n")
for n in range(message()["payload"]):
    time.sleep(0.0005)
    send_message(n)
"""
TWICE = """
with open(ROOT / "starts", "a") as file: file.write("twice\\n")
for n in messages():
    send_message(2 * n)
    print(n, file=sys.stderr)
"""
ENDLESS = "(ROOT / 'began').touch()\nopen(ROOT / 'gate').read()"


@pytest.fixture
def endless(live: DockerLive) -> Path:
    """Return the file that an endless skill makes when it has begun."""
    live.gate("gate")
    live.skill("endless", ENDLESS)
    return live.root / "began"


def test_a_killed_owner_costs_no_record_and_no_container(live: DockerLive) -> None:
    live.skill("source", SOURCE)
    live.skill("twice", TWICE, receives="stream")
    live.agent("line", ("input", "source"), ("source", "twice"), ("twice", "output"))
    activation = live.detach("line", RECORDS, kind="agents")
    waiting = live.start("activations", "wait", activation, "-q")  # starts the next owner when one is killed
    for count in (200, 1200):
        until(lambda n=count: _sent(live, activation) > n or waiting.ended, f"{count} records")  # type: ignore[misc]
        before = set(live.containers())
        live.kill_owner()
        until(lambda: waiting.ended or live.address(), "the next owner")
        assert set(live.containers()) <= before
    assert waiting.finish().code == 0
    answer = live.ok("activations", "response", activation).out
    assert answer.split() == [str(2 * n) for n in range(RECORDS)]
    assert sorted((live.root / "starts").read_text().split()) == ["source", "twice"]
    until(lambda: not live.containers(), "no container is left")
    (attempt,) = live.attempts("twice")
    assert (attempt / "stderr").read_text().split() == [str(n) for n in range(RECORDS)]


def test_ctrl_c_ends_the_container(live: DockerLive, endless: Path) -> None:
    process = live.start("skills", "invoke", "endless", "--payload", "1")
    until(endless.exists, "the job runs")
    process.signal(signal.SIGINT)
    assert process.finish().code == 130
    until(lambda: not live.containers(), "no container is left")


def test_a_cancel_that_the_owner_did_not_survive_ends_the_container(live: DockerLive, endless: Path) -> None:
    activation = live.detach("endless")
    until(endless.exists, "the job runs")
    live.kill_owner()
    live.ok("activations", "cancel", activation)
    assert live.wait(activation)["status"] == "CANCELLED"
    until(lambda: not live.containers(), "no container is left")


def test_a_timeout_ends_the_container(live: DockerLive) -> None:
    live.gate("gate")
    live.skill("slow", ENDLESS, timeout=1)
    _, said = live.fail("slow")
    assert "timeout of 1s" in said
    until(lambda: not live.containers(), "no container is left")


def test_each_attempt_is_a_container_of_its_own_and_none_is_left(live: DockerLive) -> None:
    program = """
    import socket
    with open(ROOT / "hosts", "a") as file: file.write(socket.gethostname() + "\\n")
    sys.exit(0 if len((ROOT / "hosts").read_text().split()) == 3 else 4)
    """
    live.skill("moody", program, retries={"limit": 2, "backoff_seconds": 0})
    live.invoke("moody")
    assert len(set((live.root / "hosts").read_text().split())) == 3
    until(lambda: not live.containers(), "no container is left")


def test_a_container_that_somebody_deletes_is_lost_and_tried_again(live: DockerLive) -> None:
    live.gate("gate")
    live.skill("held", "(ROOT / 'began').touch()\nopen(ROOT / 'gate').read()\nprint('done', end='')")
    activation = live.detach("held")
    until((live.root / "began").exists, "the job runs")
    (container,) = live.containers()
    docker("rm", "--force", container)
    live.release(live.root / "gate")
    assert live.wait(activation)["response"] == "done"
    assert len(live.attempts("held")) == 2


def _sent(live: DockerLive, activation: str) -> int:
    seen = live.glance(activation)
    return int(seen["twice"]["out"]) if seen else 0
