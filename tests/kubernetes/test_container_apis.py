"""Batch and Task APIs whose workers are containers, in pods."""

from __future__ import annotations

import json
from typing import Any

from tests.acceptance import test_container_apis as everywhere
from tests.acceptance.test_container_apis import SERVER, Apis, items
from tests.acceptance.test_container_apis import apis as apis
from tests.kubernetes.live import KubernetesLive
from tests.kubernetes_place import needs_cluster, until

pytestmark = needs_cluster

# A server that ends again and again is left out: that takes seven pods, one after the other, and shows nothing that one does not.
test_batches = everywhere.test_batches_go_to_the_container_and_the_end_is_told
test_failures = everywhere.test_a_batch_that_fails_is_tried_as_often_as_the_submission_says
test_readiness = everywhere.test_a_worker_that_never_gets_ready_fails_the_job_with_the_reason
test_an_end = everywhere.test_a_server_that_ends_once_is_replaced
test_tasks = everywhere.test_containers_of_a_task_share_what_they_have_and_the_first_end_counts
test_a_job_of_a_job = everywhere.test_a_job_submits_a_job
test_an_owner_that_is_killed = everywhere.test_a_worker_outlives_the_owner


def test_two_containers_of_a_batch_api_share_what_they_have(apis: Apis) -> None:
    code = """
def answer(path, items):
    if path == "/":
        Path("/mnt/items").write_text(json.dumps(items))
        while not Path("/mnt/seen").exists():
            time.sleep(0.01)
        print(Path("/mnt/seen").read_text(), flush=True)
    return 200, ""
serve()
"""
    beside = """
import json, os, time
from pathlib import Path
while not Path("/mnt/items").exists():
    time.sleep(0.01)
job = json.loads(Path("/cortex/spec/job.json").read_text())
print("beside", job["workers"], flush=True)
time.sleep(0.1)
os.rename("/mnt/items", "/mnt/seen")
time.sleep(1000)
"""
    apis.deploy("pair", SERVER + code, beside)
    found = apis.run("pair", workers=1, item_list=items(7, 8, size=2))
    assert found["job_status"]["status"] == "succeeded", found["job_status"]
    assert "[7, 8]\n" in apis.printed("pair")
    assert "beside 1\n" in apis.printed("pair")
    assert '["/on-job-complete"' in apis.printed("pair")


def test_a_stopped_job_leaves_nothing_in_the_cluster(apis: Apis, live: KubernetesLive) -> None:
    apis.deploy("slow", SERVER + "def answer(path, items):\n    time.sleep(1000)\nserve()")
    job_id = apis.submit("slow", workers=2, item_list=items(1, 2))
    until(lambda: apis.printed("slow").count('["/", [') == 2, "both have a batch")
    assert len(live.objects("jobs")) == 2
    live.ok("jobs", "stop", job_id)
    assert apis.end("slow", job_id)["job_status"]["status"] == "stopped"
    until(lambda: not live.left(), "nothing is left")


def test_workers_that_find_no_node_are_pending(apis: Apis) -> None:
    container = {"name": "api", "image": "x:1", "command": ["true"], "compute": {"cpu": 1000}}
    (apis.live.root / "large.yaml").write_text(
        json.dumps([{"name": "large", "kind": "BatchAPI", "pod": {"containers": [container]}}])
    )
    apis.live.ok("jobs", "deploy", apis.live.root / "large.yaml")
    job_id = apis.submit("large", workers=2, item_list=items(1))

    def status() -> dict[str, Any]:
        found: dict[str, Any] = apis.call("GET", f"/batch/large?jobID={job_id}")["job_status"]
        return found

    until(lambda: "Insufficient cpu" in str(status().get("note")), "it says what it waits for")
    until(lambda: status()["worker_counts"]["pending"] == 2, "both wait")
    assert status()["status"] in ("pending", "enqueuing")
    apis.live.ok("jobs", "stop", job_id)


def test_a_pod_that_is_killed_loses_no_batch(apis: Apis, live: KubernetesLive) -> None:
    apis.deploy("robust", SERVER + "def answer(path, items):\n    time.sleep(0.05)\n    return 200, ''\nserve()")
    job_id = apis.submit("robust", workers=2, item_list=items(*range(100)))

    def succeeded() -> int:
        found: int = apis.call("GET", f"/batch/robust?jobID={job_id}")["metrics"]["succeeded"]
        return found

    def running() -> list[str]:
        return [pod["metadata"]["name"] for pod in live.objects("pods") if pod["status"]["phase"] == "Running"]

    for after in (10, 50):
        until(lambda n=after: succeeded() >= n, f"{after} batches")  # type: ignore[misc]
        live.delete_pod(until(running, "a pod runs")[0], "--force", "--grace-period=0")
    found = apis.end("robust", job_id)
    assert (found["job_status"]["status"], found["metrics"]["succeeded"]) == ("succeeded", 100), found
    lines = live.ok("jobs", "logs", job_id).out.splitlines()
    said = [json.loads(line[line.index("[") :]) for line in lines if '["/", [' in line]
    assert {item for line in said for item in line[1]} == set(range(100))


def test_a_batch_of_a_worker_that_is_not_heard_of_goes_to_another_one(apis: Apis) -> None:
    apis.live.environment["FABRIC_JOBS_LEASE_SECONDS"] = "2"
    freeze = """
import signal
def answer(path, items):
    if items == [1] and ATTEMPTS[-1] == "1":
        for each in Path("/proc").glob("[0-9]*/cmdline"):
            if b"cortex_worker" in each.read_bytes():
                os.kill(int(each.parent.name), signal.SIGSTOP)
        time.sleep(1000)
    return 200, ""
ATTEMPTS = []
serve()
"""
    remember = SERVER.replace("status, text", 'ATTEMPTS.append(self.headers["X-Cortex-Attempt"]); status, text', 1)
    apis.deploy("frozen", remember + freeze)
    job_id = apis.submit("frozen", workers=2, item_list=items(*range(4)))

    def handled() -> bool:
        return bool(apis.call("GET", f"/batch/frozen?jobID={job_id}")["metrics"]["succeeded"] == 4)

    until(handled, "the other one has handled all")
    apis.live.ok("jobs", "stop", job_id)
