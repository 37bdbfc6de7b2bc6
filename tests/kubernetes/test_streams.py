"""Streams between pods: records reach the next pod while the job before it runs, and what a dead pod had is done by others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kubernetes.live import KubernetesLive
from tests.kubernetes_place import needs_cluster, until

pytestmark = needs_cluster

PASS = "for record in messages(): send_message(record)"
# Each waits at its first record until all three have one.
TOGETHER = """
    for index, n in enumerate(messages()):
        if index == 0:
            (ROOT / f"at-{ATTEMPT}").touch()
            while len(list(ROOT.glob("at-*"))) < 3:
                time.sleep(0.01)
        send_message([n, ATTEMPT])
"""


def line(live: KubernetesLive, source: str, each: str, **action: Any) -> None:
    live.shared("source", source)
    live.shared("each", each, receives="stream", workers=3, **action)
    live.shared("last", PASS, receives="stream")
    live.agent("line", ("input", "source"), ("source", "each"), ("each", "last"), ("last", "output"))


def pods_of(live: KubernetesLive, skill: str) -> list[str]:
    """Return the pods of a skill whose program runs."""
    return [
        pod["metadata"]["name"]
        for pod in live.objects("pods")
        if pod["metadata"]["annotations"]["fabric-jobs/skill"] == skill and pod["status"]["phase"] == "Running"
    ]


def test_three_workers_and_two_streams_work_while_the_job_before_them_runs(live: KubernetesLive) -> None:
    source = """
        for n in range(60): send_message(n)
        (ROOT / "sent").touch()
        open(ROOT / "gate").read()
        for n in range(60, 90): send_message(n)
    """
    line(live, source, TOGETHER)
    live.shared(
        "last", "for record in messages():\n    send_message(record)\n    (ROOT / 'came').touch()", receives="stream"
    )
    gate = live.gate("gate")
    activation = live.detach("line", kind="agents")
    until((live.root / "came").exists, "a record has passed three pods")
    wanted = {"source": 1, "each": 3, "last": 1}
    until(lambda: {skill: len(pods_of(live, skill)) for skill in wanted} == wanted, "the cluster says that all run")
    assert len(live.names("jobs")) == 5
    live.release(gate)
    response = live.wait(activation)["response"]
    assert sorted(n for n, _ in response) == list(range(90))
    assert len({worker for _, worker in response}) == 3
    until(lambda: live.left() == [], "nothing is left")


@pytest.mark.parametrize("words", [(), ("--grace-period=0", "--force")], ids=["deleted", "forced"])
def test_what_a_deleted_pod_had_is_done_by_others_and_nothing_twice(
    live: KubernetesLive, words: tuple[str, ...]
) -> None:
    each = """
        for n in messages():
            if n == 30:
                (ROOT / "there").write_text(os.environ["HOSTNAME"])
                while not (ROOT / "on").exists():
                    time.sleep(0.01)
            send_message([n, ATTEMPT])
    """
    line(live, "for n in range(300): send_message(n)", each)
    activation = live.detach("line", kind="agents")
    there = live.root / "there"
    pod = until(lambda: there.read_text() if there.exists() else "", "a worker is at record 30")
    live.delete_pod(pod, *words)
    until(lambda: pod not in live.names("pods"), "the pod is gone")
    (live.root / "on").touch()
    response = live.wait(activation)["response"]
    assert sorted(n for n, _ in response) == list(range(300))
    assert "Nothing is wrong" in live.ok("state", "check").err


def test_a_worker_that_is_killed_gives_its_share_back(live: KubernetesLive) -> None:
    each = """
        for n in messages():
            if n in (30, 120) and not (ROOT / f"died-{n}").exists():
                (ROOT / f"died-{n}").touch()
                os.kill(os.getpid(), 9)
            send_message([n, ATTEMPT])
    """
    line(live, "for n in range(200): send_message(n)", each, retries={"limit": 3, "backoff_seconds": 0})
    response = live.invoke("line", kind="agents")["response"]
    assert sorted(n for n, _ in response) == list(range(200))
    assert "Nothing is wrong" in live.ok("state", "check").err
