"""Pools of warm pods on a real cluster."""

from __future__ import annotations

import json

from tests.kubernetes.live import KubernetesLive
from tests.kubernetes_place import needs_cluster, until

pytestmark = needs_cluster

POOL = "fabric-jobs/pool"
ECHO = """
import json, os, socket
from fabric_skill import message
print(json.dumps([message()['payload'], os.getpid(), socket.gethostname()]))
"""


def test_attempts_share_a_pod_and_it_goes_when_it_is_idle(live: KubernetesLive) -> None:
    live.inline("echo", ECHO, type="job", warm=True, response="json")
    found = [live.invoke("echo", number)["response"] for number in range(3)]
    assert [payload for payload, _, _ in found] == [0, 1, 2]
    assert len({process for _, process, _ in found}) == 3
    assert len({host for _, _, host in found}) == 1
    live.stop_owner()
    live.environment["FABRIC_JOBS_KUBERNETES_POOL_SECONDS"] = "1"
    live.invoke("echo", 3)  # which starts the next owner
    until(lambda: not live.left(), "nothing is left")


def test_a_message_that_is_too_long_for_a_secret(live: KubernetesLive) -> None:
    live.inline("long", "from fabric_skill import message; print(len(message()['payload']))", type="job", warm=True)
    for _ in range(2):
        assert int(live.invoke("long", "y" * 3_000_000)["response"]) == 3_000_000


def test_a_file_beside_secrets_is_fetched_from_the_memory_of_the_gateway(live: KubernetesLive) -> None:
    live.ok("secrets", "set", "key", stdin="hunter2\n")
    program = "from fabric_skill import message; print(message()['payload'], message()['properties']['key'])"
    live.inline("secret", program, type="job", warm=True, message="file")
    path = live.root / "skills" / "secret" / "skill.yaml"
    key = {"name": "key", "secure": True, "defaultValue": "#SECURE.key"}
    path.write_text(json.dumps({**json.loads(path.read_text()), "properties": [key]}))
    assert live.invoke("secret", 1)["response"] == "1 hunter2\n"
    assert list((live.state / "attempts").glob("*/files/*")) == []


def test_a_program_that_needs_too_much_memory_does_not_take_its_pod_along(live: KubernetesLive) -> None:
    program = "from fabric_skill import message; taken = bytearray(message()['payload'] << 20); print(len(taken))"
    live.inline("greedy", program, type="job", warm=True, resources={"memory": "128Mi"})
    live.invoke("greedy", 1)
    record, said = live.fail("greedy", 1000)
    assert "memory" in said, said
    assert record["error"]["exitCode"] == 137
    live.invoke("greedy", 1)
    assert len(until(lambda: warm_pods(live), "the pod runs")) == 1


def test_a_pod_that_is_deleted_loses_its_attempt_which_is_tried_again(live: KubernetesLive) -> None:
    program = """
        import socket
        (ROOT / "in").write_text(socket.gethostname())
        while not (ROOT / "go").exists(): time.sleep(0.05)
        print(ATTEMPT)
    """
    live.shared("wait", program, warm=True)
    activation = live.detach("wait")
    first = until(lambda: host_of(live), "the program runs")
    live.delete_pod(first, "--grace-period=1")
    until(lambda: host_of(live) not in ("", first), "the program runs in another pod")
    (live.root / "go").touch()
    record = live.wait(activation)
    assert record["status"] == "COMPLETE"
    assert record["response"].strip().endswith("-2")


def test_a_cancelled_program_is_asked_to_end(live: KubernetesLive) -> None:
    program = "signal.signal(signal.SIGTERM, lambda *a: (print('cleaned', flush=True), sys.exit(9)))\n(ROOT / 'ready').touch()\n"
    live.shared("clean", f"import signal\n{program}time.sleep(1000)", warm=True)
    activation = live.detach("clean")
    until(lambda: (live.root / "ready").exists(), "it is ready")
    live.ok("activations", "cancel", activation)
    assert live.wait(activation)["status"] == "CANCELLED"
    (task,) = until(lambda: [each for each in tasks(live, activation) if each.get("exitCode") is not None], "its end")
    assert task["exitCode"] == 9
    assert live.ok("tasks", "logs", task["name"]).out == "cleaned\n"


def test_the_owner_is_killed_while_twenty_attempts_wait_and_run(live: KubernetesLive) -> None:
    live.environment["FABRIC_JOBS_KUBERNETES_POOL_PODS"] = "3"
    program = """
        (ROOT / f"ran-{ATTEMPT}").touch()
        while not (ROOT / "go").exists(): time.sleep(0.05)
        print(message()["payload"])
    """
    live.shared("many", program, warm=True, workers=20)
    activations = [live.detach("many", number) for number in range(20)]
    until(lambda: len(list(live.root.glob("ran-*"))) == 3, "each pod runs one of them")
    live.kill_owner()
    (live.root / "go").touch()
    found = [live.wait(activation)["response"].strip() for activation in activations]
    assert sorted(map(int, found)) == list(range(20))
    assert len(list(live.root.glob("ran-*"))) == 20  # each of them once


def warm_pods(live: KubernetesLive, phase: str = "Running") -> list[str]:
    """Return the names of the pods of pools."""
    found = [pod for pod in live.objects("pods") if POOL in pod["metadata"]["labels"]]
    return [pod["metadata"]["name"] for pod in found if pod["status"].get("phase") == phase]


def host_of(live: KubernetesLive) -> str:
    """Return the pod in which a program has said that it runs; empty before."""
    path = live.root / "in"
    return path.read_text() if path.exists() else ""


def tasks(live: KubernetesLive, activation: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = live.get(f"/tasks?activationId={activation}")["tasks"]
    return found


def test_the_pod_has_no_message_in_what_everybody_may_read(live: KubernetesLive) -> None:
    live.inline("echo", ECHO, type="job", warm=True, response="json")
    live.invoke("echo", "hidden")
    assert "hidden" not in json.dumps([*live.objects("pods"), *live.objects("jobs")])


def test_a_pod_that_waits_keeps_no_owner_from_ending(live: KubernetesLive) -> None:
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "1"
    live.inline("echo", ECHO, type="job", warm=True, response="json")
    live.invoke("echo", 1)
    pods = until(lambda: warm_pods(live), "its pod runs")
    until(lambda: live.address() is None, "the owner ends")
    assert live.invoke("echo", 2)["response"][0] == 2
    assert warm_pods(live) == pods
