"""Containers outlive the owner that started them, and find the next one."""

from __future__ import annotations

from tests.acceptance.live import until
from tests.docker.live import DockerLive
from tests.docker_place import needs_docker

pytestmark = needs_docker


def test_a_stream_goes_on_with_the_next_owner(live: DockerLive) -> None:
    gate = live.gate("gate")
    live.skill("source", "send_message(1, wait=True)\nopen(ROOT / 'gate').read()\nsend_message(2, wait=True)")
    live.skill("twice", "for record in messages(): send_message(2 * record, wait=True)", receives="stream")
    live.agent("line", ("input", "source"), ("source", "twice"), ("twice", "output"))
    activation = live.detach("line", kind="agents")
    until(lambda: live.progress(activation)["twice"]["out"] == 1, "the first record")
    before = live.containers()
    assert len(before) == 2

    first = live.owner()
    live.stop_owner()
    waiting = live.start("activations", "wait", activation, "--output", "json")
    until(lambda: (address := live.address()) is not None and address.pid != first, "another owner")
    assert live.containers() == before
    live.release(gate)

    assert waiting.finish().value["response"] == [2, 4]


def test_a_job_that_ends_while_there_is_no_owner_is_found_with_its_output(live: DockerLive) -> None:
    gate = live.gate("gate")
    live.skill("held", "print('first')\nopen(ROOT / 'gate').read()\nprint('last')")
    activation = live.detach("held")
    until(lambda: live.progress(activation)["held"]["tasks"].get("ACTIVE"), "the task")
    until(live.containers, "its container")
    live.stop_owner()
    live.release(gate)
    until(lambda: not live.containers(all=False), "the end of the container")

    assert live.wait(activation)["response"] == "first\nlast\n"
    until(lambda: not live.containers(), "the container is deleted")
