"""Our routes of jobs: pages and filters, waiting, failed batches, retrying them, the logs of all workers, metrics."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from fabric_jobs.gateway.job_answers import CODES
from tests.acceptance.live import PROJECT, Live, until
from tests.gateway.jobs import Apis
from tests.gateway.test_cortex_jobs import COUNTING, WAITING


@pytest.fixture
def apis(live: Live) -> Apis:
    """Return a workspace with a Batch API."""
    found = Apis(live)
    found.deploy("count", COUNTING)
    return found


def ids(found: Any) -> list[str]:
    """Return the ids of a page of jobs."""
    return [job["job_id"] for job in found["jobs"]]


def pages(apis: Apis, path: str, key: str) -> list[list[Any]]:
    """Return all pages of a list."""
    found, cursor = [], ""
    while True:
        page = apis.caller.get(f"{path}&cursor={cursor}")
        found.append(page[key])
        cursor = page["next"]
        if cursor is None:
            return found


def test_jobs_are_listed_in_pages_by_api_and_by_status(apis: Apis) -> None:
    apis.deploy("other", COUNTING)
    made = [apis.items(f"/batch/{name}", items) for name, items in (("count", [1]), ("other", ["bad"]), ("count", [2]))]
    for job_id, path in zip(made, ("/count", "/other", "/count"), strict=True):
        apis.end(path, job_id)
    newest = made[::-1]
    assert ids(apis.caller.get("/jobs")) == newest
    assert [[job["job_id"] for job in page] for page in pages(apis, "/jobs?limit=2", "jobs")] == [
        newest[:2],
        newest[2:],
    ]
    assert ids(apis.caller.get("/jobs?api=count")) == [made[2], made[0]]
    assert ids(apis.caller.get("/jobs?api=none")) == []
    assert ids(apis.caller.get("/jobs?status=succeeded")) == [made[2], made[0]]
    assert ids(apis.caller.get("/jobs?status=completed_with_failures&api=other")) == [made[1]]
    for status in CODES:
        assert (
            ids(apis.caller.get(f"/jobs?status={status}&limit=1"))
            == [job for job in newest if apis.caller.get(f"/jobs/{job}")["job"]["status"] == status][:1]
        )
    assert [page for page in pages(apis, "/jobs?status=succeeded&limit=1", "jobs") if page][1][0]["job_id"] == made[0]
    for query in ("status=done", "limit=0", "limit=x"):
        apis.caller.refused(400, "GET", f"{PROJECT}/jobs?{query}")


def test_one_job_is_the_same_as_by_the_other_route(apis: Apis) -> None:
    job_id = apis.items("/batch/count", [1])
    shown = apis.end("/count", job_id)["job_status"]
    assert apis.caller.get(f"/jobs/{job_id}")["job"] == shown
    assert apis.caller.get(f"/jobs/{job_id[:-1]}")["job"] == shown
    apis.live.skill("echo", "print(1)")
    activation = apis.live.invoke("echo")["activationId"]
    for name in ("none", "0000000000000000", activation):
        assert "no job" in apis.caller.refused(404, "GET", f"{PROJECT}/jobs/{name}")


def test_it_waits_for_news_of_a_job(apis: Apis) -> None:
    gate = apis.live.gate("gate")
    apis.deploy("wait", WAITING, config={"gate": str(gate)})
    job_id = apis.items("/batch/wait", [1])
    found: list[Any] = []

    def wait() -> None:
        while not found or "end_time" not in found[-1]:
            found.append(apis.caller.get(f"/jobs/{job_id}?wait=60&pause=60")["job"])

    waiting = threading.Thread(target=wait)
    waiting.start()
    apis.live.release(gate)
    waiting.join(60)
    assert found[-1]["status"] == "succeeded"
    assert apis.caller.get(f"/jobs/{job_id}?wait=60")["job"] == found[-1]  # there will be no news


def test_a_stop_says_whether_it_was_in_time(apis: Apis) -> None:
    gate = apis.live.gate("gate")
    apis.deploy("wait", WAITING, config={"gate": str(gate)})
    job_id = apis.items("/batch/wait", [1])
    path = f"{PROJECT}/jobs/{job_id}/stop"
    assert json.loads(apis.caller.call("POST", path).body)["stopped"] is True
    until(lambda: apis.caller.get(f"/jobs/{job_id}")["job"]["status"] == "stopped", "it is stopped")
    assert json.loads(apis.caller.call("POST", path).body)["stopped"] is False
    assert ids(apis.caller.get("/jobs?status=stopped")) == [job_id]


SOMETIMES = """
    import pathlib

    class Handler:
        def __init__(self, config):
            self.good = pathlib.Path(config["good"])

        def handle_batch(self, payload):
            if "bad" in payload and not self.good.exists():
                raise ValueError("it is not good yet")
            print("handled", payload, flush=True)
    """


def test_failed_batches_are_listed_and_retried_once(apis: Apis) -> None:
    good = apis.live.root / "good"
    apis.deploy("some", SOMETIMES, config={"good": str(good)})
    job_id = apis.items("/batch/some", ["bad", 1, 2, 3, 4, "bad", "bad"], size=2, config={"k": 1})
    shown = apis.end("/some", job_id)["job_status"]
    assert shown.items() >= {"status": "completed_with_failures", "batches_dead": 3, "total_batch_count": 4}.items()
    listed = apis.caller.get(f"/jobs/{job_id}/batches")["batches"]
    assert [(batch["first"], batch["count"], batch["state"], batch["attempts"]) for batch in listed] == [
        (0, 2, "dead", 1),
        (4, 2, "dead", 1),
        (6, 1, "dead", 1),
    ]
    assert all("it is not good yet" in batch["error"] for batch in listed)
    assert len({batch["batch_id"] for batch in listed}) == 3
    assert [len(page) for page in pages(apis, f"/jobs/{job_id}/batches?limit=2", "batches")] == [2, 1]
    assert apis.caller.get(f"/jobs/{job_id}/batches?state=waiting")["batches"] == []
    for query in ("state=lost", "cursor=x"):
        apis.caller.refused(400, "GET", f"{PROJECT}/jobs/{job_id}/batches?{query}")
    good.touch()
    answer = json.loads(apis.caller.call("POST", f"{PROJECT}/jobs/{job_id}/retry", b"{}").body)
    assert (answer["items"], answer["left"], answer["job"]["retry_of"]) == (5, 0, job_id)
    again = apis.end("/some", answer["job"]["job_id"])["job_status"]
    assert again.items() >= {"status": "succeeded", "items": 5, "config": {"k": 1}, "batch_size": 2}.items()
    assert "no dead letter" in apis.caller.refused(400, "POST", f"{PROJECT}/jobs/{job_id}/retry", b"{}")
    assert "handled ['bad', 1]" in apis.said(again["job_id"])


TALKING = """
    class Handler:
        def __init__(self, config):
            self.gate = config["gate"]

        def handle_batch(self, payload):
            print("before", payload, flush=True)
            open(f"{self.gate}-{payload[0]}").read()
            print("after", payload, flush=True)
    """


def test_the_logs_of_all_workers_are_followed_to_the_end(apis: Apis) -> None:
    gates = [apis.live.gate(f"gate-{item}") for item in (1, 2)]
    apis.deploy("talk", TALKING, config={"gate": str(apis.live.root / "gate")})
    job_id = apis.items("/batch/talk", [1, 2], workers=2)
    found: list[dict[str, Any]] = []
    following = threading.Thread(target=lambda: found.extend(apis.log(job_id, "?follow")))
    following.start()
    for gate in gates:
        apis.live.release(gate)
    apis.end("/talk", job_id)
    following.join(60)
    said = "".join(line["log"] for line in found)
    assert ("after [1]" in said, "after [2]" in said) == (True, True)
    assert {line["stream"] for line in found} <= {"stdout", "stderr"}
    now = apis.log(job_id)
    assert sorted(apis.said(job_id).split("\n")) == sorted(said.split("\n"))
    worker = now[0]["worker"]
    assert {piece["worker"] for piece in apis.log(job_id, f"?worker={worker}")} == {worker}
    apis.caller.refused(404, "GET", f"{PROJECT}/jobs/{job_id}/logs?worker=none")


def test_metrics_have_the_names_of_cortex_labs_and_are_true(apis: Apis) -> None:
    assert "cortex_" not in metrics(apis)
    job_id = apis.items("/batch/count", [1, "bad", 2], config={})
    apis.end("/count", job_id)
    text = metrics(apis)
    labels = f'{{api_name="count",job_id="{job_id}"}}'
    assert f"\ncortex_batch_succeeded{labels} 2\n" in text
    assert f"\ncortex_batch_failed{labels} 1\n" in text
    assert f"\ncortex_time_per_batch_count{labels} 2\n" in text
    assert "# TYPE cortex_time_per_batch histogram\n" in text
    apis.deploy("ask", "class Task:\n    def __call__(self, config): assert not config\n", "TaskAPI")
    good, bad = (apis.submit("/tasks/ask", config=config)["job_id"] for config in ({}, {"a": 1}))
    for job in (good, bad):
        apis.end("/ask", job)
    text = metrics(apis)
    for job, succeeded in ((good, 1), (bad, 0)):
        assert f'\ncortex_task_succeeded{{api_name="ask",job_id="{job}"}} {succeeded}\n' in text
        assert f'\ncortex_task_failed{{api_name="ask",job_id="{job}"}} {1 - succeeded}\n' in text
        assert (f'cortex_time_per_task_count{{api_name="ask",job_id="{job}"}} 1\n' in text) == bool(succeeded)


def metrics(apis: Apis) -> str:
    """Return the metrics of the gateway."""
    return apis.caller.call("GET", "/metrics").body.decode()


def test_what_was_submitted_stopped_or_retried_survives_the_owner(apis: Apis) -> None:
    gates = [apis.live.gate(f"gate-{item}") for item in (1, 2, 3, 4)]
    apis.deploy("wait", TALKING, config={"gate": str(apis.live.root / "gate")})
    kept, stopped, failed = (
        apis.items("/batch/wait", [1, 2, 3]),
        apis.items("/batch/wait", [4]),
        apis.items("/count", ["bad"]),
    )
    apis.end("/count", failed)
    assert apis.ask("DELETE", f"/wait?jobID={stopped}")[0] == 200
    again = json.loads(apis.caller.call("POST", f"{PROJECT}/jobs/{failed}/retry", b"{}").body)["job"]["job_id"]
    apis.live.kill_owner()
    later = Apis(apis.live)
    assert later.end("/wait", stopped)["job_status"]["status"] == "stopped"
    assert later.end("/count", again)["job_status"].items() >= {"retry_of": failed, "batches_dead": 1}.items()
    assert "no dead letter" in later.caller.refused(400, "POST", f"{PROJECT}/jobs/{failed}/retry", b"{}")
    assert later.show("/wait", kept)["job_status"].items() >= {"items": 3, "total_batch_count": 3}.items()
    for gate in gates[:3]:
        apis.live.release(gate)
    shown = later.end("/wait", kept)
    assert (shown["job_status"]["status"], shown["metrics"]["succeeded"]) == ("succeeded", 3)
