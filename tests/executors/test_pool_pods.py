"""The pods of pools as they are: the installed command, its gateway, and pods that are processes of this machine.

The API server is the one without a cluster; `tests/kubernetes/test_pools.py` has the rest on a real one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.live import Live, is_alive, until
from tests.kubernetes_api.server import Running, serving
from tests.tcp_proxy import held_port

POOL = "fabric-jobs/pool"
PRELUDE = """\
import json, os, signal, sys, time
from pathlib import Path
from fabric_skill import message, send_message
ROOT = Path({root!r})
open(ROOT / f"pid-{{message()['payload']}}", "w").write(str(os.getpid()))
"""


class PoolsLive(Live):
    """A workspace whose skills run in pods that are processes of this machine."""

    def __init__(self, root: Path, cluster: Running) -> None:
        super().__init__(root, idle_seconds=60.0)
        self.cluster = cluster
        self._held = held_port()
        self.port = self._held.getsockname()[1]
        self.environment |= {
            "KUBECONFIG": str(cluster.kubeconfig(root / "config")),
            "FABRIC_JOBS_EXECUTOR": "kubernetes",
            "FABRIC_JOBS_ADVERTISE": f"http://127.0.0.1:{self.port}",
            "FABRIC_JOBS_KUBERNETES_POOL_SECONDS": "60",
        }
        self.serve()

    def close(self) -> None:
        """End every process, and let go of the port."""
        super().close()
        self._held.close()

    def serve(self) -> None:
        """Start an owner."""
        self.start("serve", "--port", str(self.port))
        self.published()

    def program(self, name: str, text: str, **action: Any) -> None:
        """Write a skill whose program is an argument of Python. It notes its process in the file `pid-<payload>`."""
        directory = self.root / "skills" / name
        directory.mkdir(parents=True, exist_ok=True)
        target = {"action": name, "runtime": "cortex/jobs", "output": "response"}
        code = PRELUDE.format(root=str(self.root)) + text
        given = {"name": name, "type": "job", "image": "image:1", "command": [sys.executable, "-c", code], "warm": True}
        document = {
            "camel": "1.0.0",
            "name": name,
            "inputs": [{"name": "request", "routing": {"all": target}}],
            "outputs": [{"name": "response"}],
            "actions": [{**given, "response": "stdout", **action}],
        }
        (directory / "skill.yaml").write_text(json.dumps(document))

    def waits(self, name: str, **action: Any) -> None:
        """Write a skill whose program waits for a file, and then prints the number of its pod's template process."""
        text = "while not (ROOT / 'go').exists(): time.sleep(0.01)\nprint(os.getppid())\n"
        self.program(name, text, **action)

    def pid(self, payload: object) -> int:
        """Wait for the process of an attempt, and return its number."""
        path = self.root / f"pid-{payload}"
        return int(until(lambda: path.read_text() if path.exists() else "", f"the process for {payload}"))

    def go(self) -> None:
        """Let programs go on."""
        (self.root / "go").touch()

    def pods(self) -> list[dict[str, Any]]:
        """Return the pods of pools."""
        return self.cluster.call(
            lambda server: server.objects.every("pods", "default", lambda pod: POOL in labels(pod))
        )

    def tasks(self, activation: str) -> list[dict[str, Any]]:
        """Return the tasks of an activation."""
        found: list[dict[str, Any]] = self.get(f"/tasks?activationId={activation}")["tasks"]
        return found


def labels(pod: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = pod["metadata"]["labels"]
    return found


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture
def live(tmp_path: Path) -> Iterator[PoolsLive]:
    with serving() as cluster:
        (tmp_path / "w").mkdir()
        made = PoolsLive(tmp_path / "w", cluster)
        try:
            yield made
        finally:
            made.go()
            made.close()


def test_attempts_are_forked_in_one_pod(live: PoolsLive) -> None:
    live.program(
        "echo", "print(json.dumps([message()['payload'], os.getppid(), os.getpid()])); print('e', file=sys.stderr)"
    )
    found = [json.loads(live.invoke("echo", number)["response"]) for number in range(3)]
    assert [payload for payload, _, _ in found] == [0, 1, 2]
    assert len({template for _, template, _ in found}) == 1
    assert len({process for _, _, process in found}) == 3
    assert len(live.pods()) == 1


def test_what_a_program_sees_is_its_own(live: PoolsLive) -> None:
    text = (
        "print(json.dumps([len(sys.argv), __name__, os.environ['FABRIC_JOBS_ATTEMPT'], os.environ['MODE'],"
        " os.environ['CORTEX_PAYLOAD'] == sys.argv[1], message()['token'] == os.environ['CORTEX_TOKEN']]))"
    )
    live.program("look", text, environmentVariables={"MODE": "x"})
    first, second = (json.loads(live.invoke("look", number)["response"]) for number in (1, 2))
    assert first[:2] == second[:2] == [2, "__main__"]
    assert first[3:] == second[3:] == ["x", True, True]
    assert first[2] != second[2]


def test_output_of_both_streams_is_kept_apart(live: PoolsLive) -> None:
    live.program("talk", "print('out' * 100_000); print('err', file=sys.stderr)")
    record = live.invoke("talk", 1)
    assert record["response"] == "out" * 100_000 + "\n"
    (task,) = live.tasks(record["activationId"])
    assert live.ok("tasks", "logs", task["name"], "--stream", "stderr").err == "err\n"


def test_a_failure_is_a_failure_and_is_tried_again(live: PoolsLive) -> None:
    live.program("fail", "print('no', file=sys.stderr); sys.exit(7)", retries={"limit": 1, "backoff_seconds": 0})
    record, _ = live.fail("fail", 1)
    (task,) = live.tasks(record["activationId"])
    assert (task["state"], task["exitCode"], task["attempt"]) == ("FAILED", 7, 2)
    assert len(live.pods()) == 1


def test_a_cancelled_program_gets_its_grace(live: PoolsLive) -> None:
    text = "signal.signal(signal.SIGTERM, lambda *a: (print('cleaned', flush=True), sys.exit(9)))\n(ROOT / 'ready').touch()\n"
    live.program("clean", f"{text}time.sleep(1000)")
    activation = live.detach("clean", 1)
    until((live.root / "ready").exists, "it is ready")
    live.ok("activations", "cancel", activation)
    assert live.wait(activation)["status"] == "CANCELLED"
    task = until(
        lambda: next((each for each in live.tasks(activation) if each.get("exitCode") is not None), None), "its end"
    )
    assert task["exitCode"] == 9


def test_what_a_program_leaves_running_is_ended(live: PoolsLive) -> None:
    live.program("leave", "import subprocess; print(subprocess.Popen(['sleep', '1000']).pid)")
    assert not is_alive(int(live.invoke("leave", 1)["response"]))


def test_as_many_pods_as_workers(live: PoolsLive) -> None:
    live.waits("many", workers=3)
    activations = [live.detach("many", number) for number in range(3)]
    for number in range(3):
        live.pid(number)
    live.go()
    found = {live.wait(activation)["response"] for activation in activations}
    assert len(found) == len(live.pods()) == 3


# Deaths


def test_a_pod_that_is_killed_loses_its_attempt_which_is_tried_again(live: PoolsLive) -> None:
    live.waits("wait")
    activation = live.detach("wait", 1)
    first = live.pid(1)
    (live.root / "pid-1").unlink()
    os.kill(parent(parent(first)), signal.SIGKILL)
    second = live.pid(1)
    assert first != second
    live.go()
    assert live.wait(activation)["status"] == "COMPLETE"
    (task,) = live.tasks(activation)
    assert task["attempt"] == 2
    until(lambda: not is_alive(first), "nothing is left of the first one")


def test_a_program_outlives_its_template_process(live: PoolsLive) -> None:
    live.waits("wait")
    activation = live.detach("wait", 1)
    child = live.pid(1)
    template = parent(child)
    os.kill(template, signal.SIGKILL)
    until(lambda: parent(child) != template, "it is adopted")
    live.go()
    record = live.wait(activation)
    assert record["status"] == "COMPLETE", record
    assert live.tasks(activation)[0]["attempt"] == 1
    assert live.invoke("wait", 2)["status"] == "COMPLETE"


def test_a_program_that_is_killed(live: PoolsLive) -> None:
    live.waits("wait")
    activation = live.detach("wait", 1)
    os.kill(live.pid(1), signal.SIGKILL)
    assert live.wait(activation)["status"] == "ERROR"
    assert live.tasks(activation)[0]["exitCode"] == 137


def test_the_owner_is_killed_while_a_program_runs(live: PoolsLive) -> None:
    live.waits("wait")
    activation = live.detach("wait", 1)
    child = live.pid(1)
    live.kill_owner()
    live.serve()
    assert is_alive(child)
    live.go()
    assert live.wait(activation)["status"] == "COMPLETE"
    (task,) = live.tasks(activation)
    assert (task["attempt"], live.pid(1)) == (1, child)


def test_a_program_ends_while_there_is_no_owner(live: PoolsLive) -> None:
    live.waits("wait")
    activation = live.detach("wait", 1)
    child = live.pid(1)
    live.kill_owner()
    live.go()
    until(lambda: not is_alive(child), "it ends")
    live.serve()
    record = live.wait(activation)
    assert record["status"] == "COMPLETE"
    assert live.tasks(activation)[0]["attempt"] == 1


# Cold


def test_a_module_that_is_missing(live: PoolsLive) -> None:
    live.program("cold", "print('ran')", warm={"preload": ["no_such_module"]})
    record = live.invoke("cold", 1)
    assert record["response"] == "ran\n"
    (task,) = live.tasks(record["activationId"])
    assert "starts cold: ''no_such_module'' cannot be imported" in live.ok("tasks", "show", task["name"]).out


def test_an_image_without_python(live: PoolsLive) -> None:
    live.program("plain", "print('ran')", image="busybox:1")
    assert live.invoke("plain", 1)["response"] == "ran\n"


# Secrets


def test_files_with_secrets_are_fetched_from_memory(live: PoolsLive) -> None:
    """By a pod of its own: one of a pool is told paths that there are in containers only."""
    live.ok("secrets", "set", "key", stdin="hunter2\n")
    text = (
        "while not (ROOT / 'go').exists(): time.sleep(0.01)\n"
        "print(message()['payload'], message()['properties']['key'], end='')"
    )
    live.program("secret", text, message="file", warm=None)
    path = live.root / "skills" / "secret" / "skill.yaml"
    key = {"name": "key", "secure": True, "defaultValue": "#SECURE.key"}
    path.write_text(json.dumps({**json.loads(path.read_text()), "properties": [key]}))
    activation = live.detach("secret", 1)
    live.pid(1)
    assert list((live.state / "attempts").glob("*/files/*")) == []
    live.go()
    assert live.wait(activation)["response"] == "1 hunter2"
