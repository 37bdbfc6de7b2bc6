"""Cortex Labs' pages about containers and jobs, example by example, with what they promise."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.apis import SERVER, Apis, batches_of, notes_of
from tests.acceptance.live import Live, until
from tests.buckets import Buckets, bucket_server


@pytest.fixture(name="apis")
def apis_fixture(live: Live) -> Apis:
    made = Apis(live)
    made.serve()
    return made


def test_containers_page_requests(apis: Apis) -> None:
    """Handling requests: the root path, a JSON array, the two headers, 200; and then /on-job-complete, once."""
    notes = apis.server("hello", "def handle(items):\n    return 200")
    job_id = apis.items("hello", [{"n": number} for number in range(7)], 3, workers=2)
    ended = apis.ended("hello", job_id)
    assert ended["status"] == "succeeded", ended
    *batches, last = notes_of(notes)
    assert sorted(map(json.dumps, (note["body"] for note in batches))) == [
        json.dumps([{"n": number} for number in chosen]) for chosen in (range(3), range(3, 6), range(6, 7))
    ]
    for note in (*batches, last):
        assert note["headers"]["content-type"] == "application/json"
        assert note["headers"]["x-cortex-job-id"] == job_id
    assert {note["path"] for note in batches} == {"/"}
    assert last["path"] == "/on-job-complete"
    assert isinstance(last["body"], dict)


@pytest.mark.parametrize(
    ("answers", "status"), [("404", "succeeded"), ("200", "succeeded")], ids=["not handled", "handled"]
)
def test_containers_page_on_job_complete_need_not_be_handled(apis: Apis, answers: str, status: str) -> None:
    notes = apis.server("hello", f"def complete(body):\n    return {answers}")
    job_id = apis.items("hello", [1])
    assert apis.ended("hello", job_id)["status"] == status
    assert [note["path"] for note in notes_of(notes)] == ["/", "/on-job-complete"]


def test_containers_page_job_specification(apis: Apis) -> None:
    """The whole submission is in a file, also where /cortex cannot be mounted: then a variable names it."""
    program = """
    place = "/cortex/spec/job.json" if os.path.exists("/cortex/spec/job.json") else os.environ["CORTEX_JOB_FILE"]
    with open(place) as file:
        note(job=json.load(file), variables=sorted(key for key in os.environ if key.startswith("CORTEX_")))
    """
    notes = apis.server("hello", program)
    submitted = apis.post(
        "hello",
        workers=1,
        timeout=50,
        item_list={"items": [1, 2], "batch_size": 2},
        config={"my_key": "my_value"},
    )
    assert apis.ended("hello", submitted["job_id"])["status"] == "succeeded"
    told = next(note for note in notes_of(notes) if "job" in note)
    job = told["job"]
    assert (job["job_id"], job["api_name"], job["kind"]) == (submitted["job_id"], "hello", "BatchAPI")
    assert (job["workers"], job["timeout"], job["config"]) == (1, 50, {"my_key": "my_value"})
    assert job["sqs_dead_letter_queue"] is None
    assert job["start_time"] == submitted["start_time"]
    assert {"CORTEX_PORT", "CORTEX_VERSION", "CORTEX_CLI_CONFIG_DIR", "CORTEX_LOG_LEVEL"} <= set(told["variables"])


def test_containers_page_readiness(apis: Apis) -> None:
    """The server listens at once, and is ready when its probe says so: no batch comes before."""
    program = """
    asked = 0
    def look(self):
        global asked
        asked += 1
        note(asked=asked, path=self.path)
        self.answer(200 if asked > 2 else 503)
    Server.do_GET = look
    """
    probe = {"http_get": {"port": 8080, "path": "/healthz"}, "period_seconds": 1}
    notes = apis.server("hello", program, probe=json.dumps(probe))
    job_id = apis.items("hello", [1])
    assert apis.ended("hello", job_id)["status"] == "succeeded"
    paths = [note["path"] for note in notes_of(notes)]
    assert paths[: paths.index("/")] == ["/healthz"] * paths.index("/")
    assert paths.index("/") >= 3


def test_containers_page_multiple_containers(apis: Apis) -> None:
    """Only one listens; /mnt is shared by all."""
    notes, name = apis.live.root / "notes", "several"
    other = """
    import os, pathlib, time
    assert os.path.exists("/cortex/spec/job.json"), "this machine's own /mnt must not be touched"
    pathlib.Path("/mnt/model.tmp").write_text("shared")
    os.rename("/mnt/model.tmp", "/mnt/model")
    time.sleep(3600)
    """
    server = """
if not os.path.exists("/cortex/spec/job.json"):
    note(model="no directories can be mounted")
else:
    while not os.path.exists("/mnt/model"):
        time.sleep(0.01)
    note(model=open("/mnt/model").read())
"""
    apis.write({"other.py": other, "server.py": SERVER.replace("{more}", server)})
    command = ["python", str(apis.project / "server.py")]
    containers = [
        {"name": "api", "image": "a", "command": command, "env": {"NOTES": str(notes)}},
        {"name": "loader", "image": "b", "command": ["python"], "args": [str(apis.project / "other.py")]},
    ]
    entry = {"name": name, "kind": "BatchAPI", "pod": {"containers": containers}}
    apis.deploy({"cortex.yaml": json.dumps([entry])})
    ended = apis.ended(name, apis.items(name, [1]))
    if notes.exists() and {"model": "no directories can be mounted"} in notes_of(notes):
        pytest.skip("this user may mount no directories")
    assert ended["status"] == "succeeded", ended
    assert {"model": "shared"} in notes_of(notes)


def test_containers_page_chaining(live: Live) -> None:
    """The page's own request submits a job of another API, without a token of its own. Programs on this machine take the
    address from a variable."""
    apis = Apis(live, is_open=False)
    apis.serve()
    program = """
    import urllib.request

    def handle(items):
        host = os.environ.get("CORTEX_GATEWAY_URL", "http://ingressgateway-operator.istio-system.svc.cluster.local")
        job_spec = {
            "workers": 1,
            "item_list": {"items": items, "batch_size": 10},
            "config": {"my_key": "my_value"},
        }
        request = urllib.request.Request(
            host + "/batch/hello-world", json.dumps(job_spec).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as response:
            note(chained=json.load(response))
        return 200
    """
    hello = apis.server("hello-world")
    first = apis.server("first", program)
    job_id = apis.items("first", ["a", "b"], 2)
    assert apis.ended("first", job_id)["status"] == "succeeded"
    (chained,) = (note["chained"] for note in notes_of(first) if "chained" in note)
    assert chained["api_name"] == "hello-world"
    assert chained["config"] == {"my_key": "my_value"}
    assert apis.ended("hello-world", chained["job_id"])["status"] == "succeeded"
    assert batches_of(hello) == [["a", "b"]]


# The page about jobs.

RESPONSE = {
    "job_id",
    "api_name",
    "kind",
    "workers",
    "config",
    "api_id",
    "sqs_url",
    "timeout",
    "sqs_dead_letter_queue",
    "created_time",
}
STATUS = (RESPONSE - {"timeout"}) | {"status", "batches_in_queue", "batch_metrics", "start_time", "end_time"}
IMAGES = ("img_1.png", "img_2.jpg", "img_3.jpg", "img_4.gif")
SELECTIONS: tuple[tuple[dict[str, Any], tuple[str, ...]], ...] = (
    ({"s3_paths": ["s3://bucket/images/"]}, IMAGES),
    ({"s3_paths": ["s3://bucket/images/img"]}, IMAGES),
    ({"s3_paths": ["s3://bucket/images/img_1.png", "s3://bucket/images/img_2.jpg"]}, IMAGES[:2]),
    ({"s3_paths": ["s3://bucket/images/"], "includes": ["**.jpg"]}, IMAGES[1:3]),
    ({"s3_paths": ["s3://bucket/images/"], "includes": ["**.jpg"], "excludes": ["**_3.jpg"]}, IMAGES[1:2]),
    ({"s3_paths": ["s3://bucket/images/"], "excludes": ["**.gif"]}, IMAGES[:3]),
)


def test_jobs_page_data_in_the_request(apis: Apis) -> None:
    notes = apis.server("hello")
    items: list[Any] = [{"a": 1}, "text", [1, 2], None, True, 1.5]
    submitted = apis.post("hello", workers=1, item_list={"items": items, "batch_size": 4}, config={"string": 1})
    assert submitted.keys() >= RESPONSE
    assert re.fullmatch("[0-9a-f]{16}", submitted["job_id"])
    ended = apis.ended("hello", submitted["job_id"])
    assert batches_of(notes) == [items[:4], items[4:]]
    assert ended.keys() >= STATUS
    assert (ended["status"], ended["batches_in_queue"]) == ("succeeded", 0)
    assert ended["batch_metrics"].keys() >= {"succeeded", "failed", "avg_time_per_batch"}
    assert (ended["batch_metrics"]["succeeded"], ended["batch_metrics"]["failed"]) == (2, 0)
    shown = apis.call("GET", f"/hello?jobID={submitted['job_id']}").json
    assert shown["endpoint"].endswith(f"/hello?jobID={submitted['job_id']}")
    assert shown["api_spec"]["name"] == "hello"


@pytest.fixture(scope="module", name="bucket")
def bucket_fixture() -> Iterator[Buckets]:
    """Yield a store that has the folder of the page."""
    with bucket_server("bucket") as found:
        for name in IMAGES:
            found.put(f"images/{name}", b"x")
        for number in range(3):
            lines = [json.dumps({"file": number, "line": line}) for line in range(3)]
            found.put(f"lines/{number}.json", "\n".join(lines).encode() + b"\n")
        found.put("lines/not-me.txt", b"no JSON at all")
        yield found


@pytest.fixture(name="beside")
def beside_fixture(live: Live, bucket: Buckets) -> Apis:
    """Return APIs whose gateway reaches the bucket."""
    live.environment |= bucket.variables
    made = Apis(live)
    made.serve()
    return made


@pytest.mark.parametrize("number", range(len(SELECTIONS)))
def test_jobs_page_filtering_files(beside: Apis, number: int) -> None:
    block, expected = SELECTIONS[number]
    notes = beside.server("hello")
    body = {"workers": 1, "file_path_lister": {**block, "batch_size": 2}}
    paths = [f"s3://bucket/images/{name}" for name in expected]
    dry = beside.call("POST", "/hello?dryRun=true", body)
    assert (dry.status, dry.text) == (200, "\n".join([*paths, "validations passed"]))
    assert beside.ended("hello", beside.submit("hello", **body))["status"] == "succeeded"
    assert batches_of(notes) == [paths[at : at + 2] for at in range(0, len(paths), 2)]


def test_jobs_page_newline_delimited_files(beside: Apis) -> None:
    """Batches go over the ends of files, and end where the last file does."""
    notes = beside.server("hello")
    block = {"s3_paths": ["s3://bucket/lines/"], "includes": ["**.json"], "excludes": ["**1.json"], "batch_size": 4}
    ended = beside.ended("hello", beside.submit("hello", workers=1, delimited_files=block))
    assert ended["status"] == "succeeded", ended
    expected = [{"file": number, "line": line} for number in (0, 2) for line in range(3)]
    assert batches_of(notes) == [expected[:4], expected[4:]]


def test_jobs_page_stop(apis: Apis) -> None:
    notes = apis.server("hello", "def handle(items):\n    open(os.environ['ROOT'] + '/gate').read()\n    return 200")
    apis.live.gate("gate")
    job_id = apis.items("hello", list(range(5)))
    until(lambda: batches_of(notes), "a batch is being handled")
    running = apis.status("hello", job_id)
    assert running["status"] == "running"
    assert running["worker_counts"]["running"] == 1
    assert running["batches_in_queue"] == 5
    answer = apis.call("DELETE", f"/hello?jobID={job_id}")
    assert (answer.status, answer.json) == (200, {"message": f"stopped job {job_id}"})
    ended = apis.ended("hello", job_id)
    assert (ended["status"], ended["batches_in_queue"]) == ("stopped", 0)
    assert len(batches_of(notes)) == 1
    assert "/on-job-complete" not in {note["path"] for note in notes_of(notes)}
