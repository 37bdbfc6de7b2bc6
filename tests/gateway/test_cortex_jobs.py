"""Jobs by the routes of Cortex Labs: submission, its checks, status, stop, endpoints, and who may call."""

from __future__ import annotations

import json
import re
import textwrap
from datetime import datetime
from typing import Any

import pytest

from tests.acceptance.live import PROJECT, Live, until
from tests.gateway.access import make_project, make_token
from tests.gateway.jobs import Apis

COUNTING = """
    class Handler:
        def __init__(self, config):
            self.config = config

        def handle_batch(self, payload, batch_id):
            if "bad" in payload:
                raise ValueError("a bad one")
            print("handled", payload, flush=True)
    """
WAITING = """
    class Handler:
        def __init__(self, config):
            self.gate = config["gate"]

        def handle_batch(self, payload):
            open(self.gate).read()
    """
TASK = """
    class Task:
        def __call__(self, config):
            print("asked for", config["word"], flush=True)
            if config["word"] == "no":
                raise ValueError("no")
    """
CONTAINERS = {"containers": [{"name": "api", "image": "some-image", "command": ["serve"]}]}
GOOD = {"workers": 1, "item_list": {"items": [1, 2, 3], "batch_size": 2}}


@pytest.fixture
def apis(live: Live) -> Apis:
    """Return a workspace with a Batch API and a Task API."""
    found = Apis(live)
    found.deploy("count", COUNTING)
    found.deploy("ask", TASK, "TaskAPI", config={"word": "yes", "other": 1})
    return found


def test_a_job_is_submitted_and_succeeds(apis: Apis) -> None:
    said = apis.submit("/batch/count", **GOOD, config={"a": 1}, timeout=600)
    job_id = said["job_id"]
    assert re.fullmatch("[0-9a-f]{16}", job_id)
    assert re.fullmatch("[0-9a-f]{16}--[0-9a-f]{32}", said["api_id"])
    assert datetime.fromisoformat(said["start_time"]) == datetime.fromisoformat(said["created_time"])
    named = {"api_name": "count", "kind": "BatchAPI", "workers": 1, "config": {"a": 1}, "timeout": 600}
    assert said.items() >= {**named, "sqs_dead_letter_queue": None, "sqs_url": "", "total_batch_count": 2}.items()
    shown = apis.end("/batch/count", job_id)
    job = shown["job_status"]
    assert job.items() >= {**said, "status": "succeeded", "batches_in_queue": 0, "items": 3}.items()
    assert job["batch_metrics"] == shown["metrics"]
    assert (shown["metrics"]["succeeded"], shown["metrics"]["failed"]) == (2, 0)
    assert shown["metrics"]["average_time_per_batch"] == shown["metrics"]["avg_time_per_batch"] > 0
    assert "worker_counts" not in job
    assert datetime.fromisoformat(job["end_time"]) > datetime.fromisoformat(job["start_time"])
    assert shown["endpoint"] == f"{apis.caller.address.url.removesuffix('/px')}/count?jobID={job_id}"
    assert (shown["api_spec"]["name"], shown["api_spec"]["id"]) == ("count", said["api_id"])


def test_failures_are_counted_and_later_jobs_come_first(apis: Apis) -> None:
    first = apis.items("/batch/count", [1, "bad", 2])
    second = apis.items("/batch/count", ["bad"], max_receive_count=2)
    assert second < first
    shown = apis.end("/batch/count", first)
    assert shown["job_status"]["status"] == "completed_with_failures"
    assert (shown["metrics"]["succeeded"], shown["metrics"]["failed"]) == (2, 1)
    assert apis.end("/batch/count", second)["metrics"]["failed"] == 2
    nothing = apis.show("/batch/count", second)["metrics"]
    assert nothing["average_time_per_batch"] is None


def test_a_task_runs_with_the_merged_config(apis: Apis) -> None:
    said = apis.submit("/tasks/ask")
    assert said.items() >= {"api_name": "ask", "kind": "TaskAPI", "workers": 1, "config": None, "timeout": None}.items()
    assert {"spec_id", "pod_id"} <= said.keys()
    assert apis.end("/tasks/ask", said["job_id"])["job_status"]["status"] == "succeeded"
    other = apis.submit("/tasks/ask", config={"word": "no"})
    shown = apis.end("/tasks/ask", other["job_id"])
    assert (shown["job_status"]["status"], "metrics" in shown) == ("worker_error", False)
    assert "asked for no\n" in apis.said(other["job_id"])


def test_a_running_job_tells_of_its_workers_and_is_stopped(apis: Apis) -> None:
    gate = apis.live.gate("gate")
    apis.deploy("wait", WAITING, config={"gate": str(gate)})
    job_id = apis.items("/batch/wait", [1, 2, 3], workers=2)

    def running() -> Any:
        job = apis.show("/batch/wait", job_id)["job_status"]
        return job if job.get("worker_counts", {}).get("running") == 2 else None

    job = until(running, "both workers handle batches")
    assert (job["status"], job["batches_in_queue"], job["total_batch_count"]) == ("running", 3, 3)
    assert job["worker_counts"] == {
        "pending": 0,
        "initializing": 0,
        "running": 2,
        "ready": 2,
        "succeeded": 0,
        "failed": 0,
        "stalled": 0,
    }
    assert apis.ask("DELETE", f"/batch/wait?jobID={job_id}") == (200, {"message": f"stopped job {job_id}"})
    assert apis.end("/batch/wait", job_id)["job_status"].items() >= {"status": "stopped", "batches_in_queue": 0}.items()
    kind, message = apis.refused("DELETE", f"/batch/wait?jobID={job_id}")
    assert (kind, "its status is stopped" in message) == ("job.job_is_not_in_progress", True)


def test_a_job_that_waits_for_its_turn_says_so(live: Live) -> None:
    live.environment["FABRIC_JOBS_ACTIVATIONS"] = "1"
    apis = Apis(live)
    gates = [live.gate(f"gate-{number}") for number in (1, 2)]
    for number, gate in enumerate(gates):
        apis.deploy(f"wait{number}", WAITING, config={"gate": str(gate)})
    first, second = (apis.items(f"/batch/wait{number}", [1]) for number in (0, 1))
    waiting = apis.show("/wait1", second)["job_status"]
    assert (waiting["status"], "waiting for its turn" in waiting["note"]) == ("pending", True)
    live.release(gates[0])
    assert apis.end("/wait0", first)["job_status"]["status"] == "succeeded"
    live.release(gates[1])
    ended = apis.end("/wait1", second)["job_status"]
    assert (ended["status"], "note" in ended) == ("succeeded", False)


def test_a_job_times_out_from_its_submission_on(apis: Apis) -> None:
    gate = apis.live.gate("gate")
    apis.deploy("wait", WAITING, config={"gate": str(gate)})
    job_id = apis.items("/batch/wait", [1], timeout=1)
    assert apis.end("/batch/wait", job_id)["job_status"]["status"] == "timed_out"
    said = apis.submit("/tasks/ask", timeout=0)  # as in the original, the range is not checked
    assert apis.end("/tasks/ask", said["job_id"])["job_status"]["status"] == "timed_out"


REFUSED = [
    ("POST", "/batch/none", GOOD, "resources.api_not_deployed"),
    ("POST", "/batch/coumt", b"", "resources.api_not_deployed"),
    ("POST", "/batch/ask", b"", "resources.operation_is_only_supported_for_kind"),
    ("POST", "/tasks/count", {}, "resources.operation_is_only_supported_for_kind"),
    ("POST", "/batch/count", b"", "error"),
    ("POST", "/tasks/ask", b"", "error"),
    ("POST", "/count", b"", "error"),
    ("POST", "/ask", b"[]", "error"),
    ("POST", "/batch/count", b"{" + b" " * (10 << 20), "error"),
    ("POST", "/batch/count", {**GOOD, "workers": "1"}, "error"),
    ("POST", "/batch/count", {"workers": 1}, "job.specify_exactly_one_key"),
    ("POST", "/batch/count", {**GOOD, "workers": 0}, "configreader.must_be_greater_than_or_equal_to"),
    ("POST", "/count?dryRun=true", b"{", "error"),
    ("POST", "/batch/ask?dryRun=true", GOOD, "resources.operation_is_only_supported_for_kind"),
    ("GET", "/batch/count", b"", "endpoints.query_param_required"),
    ("GET", "/batch/none?jobID=1", b"", "resources.api_not_deployed"),
    ("GET", "/batch/count?jobID=0123456789abcdef", b"", "job.not_found"),
    ("GET", "/tasks/ask?jobID=..%2F..%2Fetc%2Fpasswd", b"", "job.not_found"),
    ("GET", "/count?jobID=", b"", "endpoints.query_param_required"),
    ("DELETE", "/ask", b"", "endpoints.query_param_required"),
    ("DELETE", "/batch/count?jobID=0", b"", "job.not_found"),
]


def test_every_error_is_a_400_with_a_kind(apis: Apis) -> None:
    for method, path, body, kind in REFUSED:
        found, message = apis.refused(method, path, body)
        assert (found, bool(message)) == (kind, True), (method, path, message)
    for method, path in (("POST", "/none"), ("GET", "/none?jobID=0"), ("DELETE", "/none/at/all?jobID=0")):
        assert apis.refused(method, path, b"{}", status=404)[0] == "resources.api_not_deployed"
    status, found = apis.ask("POST", "/batch/coumt", GOOD)
    assert (status, found["hint"], found["success"]) == (400, "Did you mean 'count'?", False)
    assert apis.caller.get("/jobs")["jobs"] == []


def test_a_dry_run_starts_nothing(apis: Apis) -> None:
    for yes in ("1", "t", "T", "TRUE", "true", "True"):
        assert apis.ask("POST", f"/batch/count?dryRun={yes}", GOOD) == (200, "validations passed")
    wrong = {**GOOD, "workers": 0}
    status, said = apis.ask("POST", "/count?dryRun=true", wrong)
    assert (status, said) == (400, "\nworkers: 0 must be greater than or equal to 1.\n")
    assert apis.caller.get("/jobs")["jobs"] == []
    for no in ("0", "yes", "tRUE", ""):
        assert apis.ask("POST", f"/count?dryRun={no}", GOOD)[0] == 200
    assert len(apis.caller.get("/jobs")["jobs"]) == 4


def test_endpoints_lead_to_their_api_exactly_or_by_their_beginning(apis: Apis) -> None:
    apis.save({"name": "one", "kind": "BatchAPI", "pod": CONTAINERS, "networking": {"endpoint": "/a/b"}})
    apis.save({"name": "two", "kind": "BatchAPI", "pod": CONTAINERS, "networking": {"endpoint": "a/b/c/"}})
    apis.save({"name": "metrics", "kind": "TaskAPI", "pod": CONTAINERS})
    wrong = {"workers": 0}
    for path, name in (
        ("/a/b", "one"),
        ("/a/b/", "one"),
        ("/a/b/other", "one"),
        ("/a/b/c", "two"),
        ("/a/b/c/d/e", "two"),
        ("/a/b/cd", "one"),
        ("/count", "count"),
        ("/count/x", "count"),
        ("/batch/one", "one"),
    ):
        job_id = apis.items(path, [1])
        shown = apis.show(path, job_id)
        assert shown["job_status"]["api_name"] == name, path
        assert apis.ask("DELETE", f"{path}?jobID={job_id}")[0] in (200, 400)
    for path in ("/a", "/a/", "/a/bc", "/counts", "/one", "//"):
        assert apis.refused("POST", path, wrong, status=404)[0] == "resources.api_not_deployed", path
    answer = apis.caller.call("POST", "/metrics", b"{}")
    assert answer.status == 405  # what the gateway needs itself is never an endpoint
    said = apis.submit("/tasks/metrics")
    assert (
        apis.show("/tasks/metrics", said["job_id"])["endpoint"]
        .partition("//")[2]
        .partition("/")[2]
        .startswith("tasks/")
    )


def test_a_job_is_shown_after_its_api_has_changed_or_is_deleted(apis: Apis) -> None:
    job_id = apis.items("/batch/count", [1])
    before = apis.end("/batch/count", job_id)
    apis.deploy("count", COUNTING, config={"new": True})
    assert apis.show("/batch/count", job_id) == before
    assert apis.submit("/batch/count", **GOOD)["api_id"] != before["job_status"]["api_id"]
    assert apis.near.call("DELETE", f"{PROJECT}/skills/count").status == 200
    assert apis.show("/batch/count", job_id) == before
    assert apis.refused("POST", "/batch/count", GOOD)[0] == "resources.api_not_deployed"


def test_items_reach_the_workers_as_they_were_written(apis: Apis) -> None:
    apis.deploy(
        "same",
        "class Handler:\n  def __init__(self, config): pass\n  def handle_batch(self, payload): print(payload)\n",
    )
    body = b'{"workers": 1, "item_list": {"batch_size": 3, "items": [1.10, {"b":1, "a":\n2}, 123456789012345678901]}}'
    status, said = apis.ask("POST", "/same", body)
    assert status == 200
    apis.end("/same", said["job_id"])
    assert "[1.1, {'b': 1, 'a': 2}, 123456789012345678901]" in apis.said(said["job_id"])


def test_tokens_are_needed_unless_the_apis_are_open(live: Live) -> None:
    closed = Apis(live, token="")
    closed.deploy("ask", TASK, "TaskAPI", config={"word": "yes"})
    for method, path in (("POST", "/tasks/ask"), ("GET", "/ask?jobID=1"), ("DELETE", "/tasks/none?jobID=1")):
        status, found = closed.ask(method, path, b"{}")
        assert (status, found["kind"], found["message"]) == (401, "error", "there is no bearer token.")
    reader = Apis(live, token=make_token(closed.near, "reader", "read").jwt())
    assert reader.ask("POST", "/tasks/ask", {})[0] == 403
    assert reader.refused("GET", "/tasks/ask?jobID=1")[0] == "job.not_found"
    runner = Apis(live, token=make_token(closed.near, "runner", "run").jwt())
    job_id = runner.submit("/tasks/ask")["job_id"]
    assert runner.end("/ask", job_id)["job_status"]["username"] == "runner"
    live.stop_owner()
    live.environment["FABRIC_JOBS_OPEN_APIS"] = "1"
    opened = Apis(live, token="")
    job_id = opened.submit("/tasks/ask")["job_id"]
    assert opened.end("/ask", job_id)["job_status"]["username"] == "anybody"
    assert opened.ask("GET", f"{PROJECT}/jobs")[0] == 401
    assert Apis(live, token="wrong").ask("GET", f"/ask?jobID={job_id}")[0] == 401


def test_a_token_leads_to_its_own_project(live: Live, apis: Apis) -> None:
    make_project(apis.near, "other")
    token = make_token(apis.near, "anna", "run", "other").jwt()
    other = Apis(live, token=token)
    job_id = apis.items("/batch/count", [1])
    assert other.refused("POST", "/batch/count", GOOD)[0] == "resources.api_not_deployed"
    assert other.refused("GET", f"/count?jobID={job_id}", status=404)[0] == "resources.api_not_deployed"
    assert other.ask("GET", f"{PROJECT}/jobs/{job_id}")[0] == 403
    apis.end("/batch/count", job_id)


def test_a_submission_runs_the_files_of_the_workspace_as_they_are_now(live: Live) -> None:
    place = live.root / "skills" / "files"
    place.mkdir()
    (place / "main.py").write_text(textwrap.dedent(TASK))
    entry = {"name": "files", "kind": "TaskAPI", "definition": {"path": "main.py", "config": {"word": "yes"}}}
    (place / "cortex.yaml").write_text(json.dumps([entry]))
    live.start("serve").wait_for("Serving")
    apis = Apis(live)
    before = apis.submit("/files")["api_id"]
    entry["definition"] = {"path": "main.py", "config": {"word": "other"}}
    (place / "cortex.yaml").write_text(json.dumps([entry]))
    after = apis.submit("/files")
    assert after["api_id"] != before
    apis.end("/files", after["job_id"])
    assert "asked for other\n" in apis.said(after["job_id"])
    (place / "cortex.yaml").write_text("- name: files\n  kind: Other\n")
    kind, message = apis.refused("POST", "/tasks/files", {})
    assert (kind, "cortex.yaml:2:" in message) == ("error", True)


CHAINING = """
    import json, os, time, urllib.request

    class Task:
        def __call__(self, config):
            url = os.environ["CORTEX_GATEWAY_URL"] + "/batch/count"
            body = json.dumps({"workers": 1, "item_list": {"items": [1, 2], "batch_size": 1}}).encode()
            job = json.load(urllib.request.urlopen(urllib.request.Request(url, body)))["job_id"]
            status = "pending"
            while status in ("pending", "enqueuing", "running"):
                time.sleep(0.05)
                status = json.load(urllib.request.urlopen(f"{url}?jobID={job}"))["job_status"]["status"]
            print("chained", job, status, flush=True)
    """


def test_a_job_submits_another_one_and_waits_for_it_though_only_one_runs_at_a_time(live: Live) -> None:
    live.environment["FABRIC_JOBS_ACTIVATIONS"] = "1"
    apis = Apis(live)
    apis.deploy("count", COUNTING)
    apis.deploy("chain", CHAINING, "TaskAPI")
    job_id = apis.submit("/tasks/chain")["job_id"]
    assert apis.end("/chain", job_id)["job_status"]["status"] == "succeeded", apis.said(job_id)
    (other,) = apis.caller.get("/jobs?api=count")["jobs"]
    assert f"chained {other['job_id']} succeeded\n" in apis.said(job_id)
