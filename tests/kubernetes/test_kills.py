"""An owner that is killed while its pods run: the next one finds them, nothing is doubled, and nothing is left."""

from __future__ import annotations

import json

from tests.kubernetes.live import KubernetesLive
from tests.kubernetes_place import needs_cluster, until

pytestmark = needs_cluster

COUNT = 20


def test_twenty_pods_outlive_their_owner_twice(live: KubernetesLive) -> None:
    live.shared("source", f"for n in range({COUNT}): send_message(n)")
    each = """
        (ROOT / f"at-{ATTEMPT}").touch()
        while not (ROOT / "on").exists():
            time.sleep(0.05)
        print(json.dumps(message()["payload"]))
    """
    live.shared("each", each, workers=COUNT, response="json")
    live.agent("line", ("input", "source"), ("source", "each"), ("each", "output"))
    activation = live.detach("line", kind="agents")
    until(lambda: len(list(live.root.glob("at-*"))) >= COUNT // 2, "some of them run")
    live.kill_owner()
    live.ok("activations", "list")  # which starts the next owner
    until(lambda: len(list(live.root.glob("at-*"))) == COUNT, "all of them run")
    live.kill_owner()
    live.ok("activations", "list")
    (live.root / "on").touch()
    ended = live.wait(activation)
    assert ended["status"] == "COMPLETE", ended
    assert sorted(ended["response"]) == list(range(COUNT))
    assert len(list(live.root.glob("at-*"))) == COUNT  # none was started twice
    until(lambda: not live.left(), "nothing is left in the cluster")


def test_what_a_pod_prints_while_there_is_no_owner_is_kept(live: KubernetesLive) -> None:
    program = """
        print("before", flush=True)
        (ROOT / "runs").touch()
        open(ROOT / "gate").read()
        for n in range(20_000): print(f"{n:09d}")
    """
    live.shared("talk", program, response="combined")
    gate = live.gate("gate")
    activation = live.detach("talk")
    until((live.root / "runs").exists, "it runs")
    live.kill_owner()
    live.release(gate)
    record = live.wait(activation)
    assert record["status"] == "COMPLETE", record
    task = json.loads(live.ok("tasks", "list", "--output", "json").out)[0]
    lines = live.ok("tasks", "logs", task["name"]).out.splitlines()
    assert lines == ["before", *(f"{n:09d}" for n in range(20_000))]
