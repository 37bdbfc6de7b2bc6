"""A pool's pod, where it is without its gateway: the thread that asks for orders, and the end of an attempt."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from fabric_jobs.executors.base import AttemptSpec, ProcessSpec
from fabric_jobs.executors.kubernetes import layer, pool_manifest
from fabric_jobs.executors.kubernetes.around import Around
from fabric_jobs.executors.kubernetes.manifest import ORDER
from fabric_jobs.executors.kubernetes.pool_state import PoolProgram
from fabric_jobs.runtime.fabric_pod.orders import Orders, PoolGateway
from tests.acceptance.live import until

NOBODY = "http://127.0.0.1:9"
RUN = """
import json, sys
sys.path.insert(0, sys.argv[1])
from fabric_pod import processes
from fabric_pod.forking import Template
from fabric_pod.pool import Attempt
from fabric_pod.wakes import Wakes

class NoOrders:
    def next(self):
        return None

order = json.loads(sys.argv[2])
wakes = Wakes()
processes.adopt_orphans()
template = Template(order, sys.argv[1])
while not template.is_ready:
    wakes.wait(template.control)
    template.hear()
attempt = Attempt(order, template, NoOrders(), wakes, order["work"] + "/attempt")
attempt._template.start(order, attempt._work)
print(attempt._follow(type("Nobody", (), {"wake": lambda self: None})()))
"""


class Proxied(PoolGateway):
    """A gateway behind a proxy that answers for it."""

    def __init__(self) -> None:
        pass

    def take(self, attempt: str, grace: float | None) -> dict[str, Any]:
        """Read what is no JSON."""
        found: dict[str, Any] = json.loads("<html>")
        return found


def test_an_answer_that_is_no_order_is_the_end_of_the_orders() -> None:
    orders = Orders(Proxied(), lambda: None)
    assert "Expecting value" in until(orders.next, "it is over")["over"]


def test_a_program_that_does_not_end_is_killed_without_a_gateway(tmp_path: Path) -> None:
    archive = tmp_path / layer.FILE
    archive.write_bytes(layer.archive())
    spec = AttemptSpec(name="a-1", processes=(ProcessSpec(directory=None, warm=()),))
    words = (sys.executable, "-c", "import time; time.sleep(1000)")
    program = PoolProgram(spec=spec, words=words, around=Around(owner="o", gateway=NOBODY))
    _, secret, _ = pool_manifest.objects(program, {"pool": "p", "token": "t", "idle": 1}, "1")
    order = {**json.loads(secret["stringData"][ORDER]), **pool_manifest.order(program)}
    order |= {"work": str(tmp_path), "deadline": 0.1}
    command = [sys.executable, "-c", RUN, str(archive), json.dumps(order)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert found.stdout == "137\n", found
