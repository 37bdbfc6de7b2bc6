"""Classes of Batch and Task APIs, run by the product: their surroundings, their ends, and warm starts."""

from __future__ import annotations

import json
import textwrap
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.live import Live, records, until
from tests.docker_place import BASE_IMAGE
from tests.wheels import requirements, write_wheel

HEAD = "import json, os, sys, time\nfrom pathlib import Path\nROOT = Path(os.environ['FABRIC_JOBS_WORKSPACE'])\n"


class Apis:
    """A served workspace of APIs, whose routes need no token."""

    def __init__(self, live: Live) -> None:
        self.live = live

    def write(self, name: str, code: str, kind: str = "BatchAPI", **body: Any) -> Path:
        """Write an API whose class is in code.py; return its directory."""
        directory = self.live.root / "skills" / name
        directory.mkdir(parents=True)
        (directory / "code.py").write_text(HEAD + textwrap.dedent(code))
        key = "handler" if kind == "BatchAPI" else "definition"
        entry = {"name": name, "kind": kind, key: {"path": "code.py", "image": BASE_IMAGE, **body}}
        (directory / "cortex.yaml").write_text(json.dumps([entry]))
        return directory

    def serve(self) -> None:
        """Start the gateway."""
        place = self.live.environment.get("FABRIC_JOBS_EXECUTOR", "local")
        self.live.start("serve", "--open-apis", "--executor", place).wait_for("Serving")

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request; return the JSON of the answer."""
        url = f"{self.live.published().url}{path}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def run(self, name: str, **body: Any) -> dict[str, Any]:
        """Run a job to its end; return its status."""
        job_id = self.call("POST", f"/{name}", body)["job_id"]

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.call("GET", f"/{name}?jobID={job_id}")["job_status"]
            return None if "end_time" not in found else found

        return until(look, f"the end of job {job_id}")

    def batches(self, name: str, items: list[Any], size: int = 1, workers: int = 1, **body: Any) -> dict[str, Any]:
        """Run a job with items to its end; return its status."""
        return self.run(name, workers=workers, item_list={"items": items, "batch_size": size}, **body)


@pytest.fixture(name="apis")
def apis_fixture(live: Live) -> Apis:
    return Apis(live)


def handler(body: str) -> str:
    return "class Handler:\n" + textwrap.indent(textwrap.dedent(body), "    ")


def test_workers_share_the_batches_and_one_of_them_is_told_the_end(apis: Apis) -> None:
    code = """
        def __init__(self, config):
            self.factor = config["number"]["factor"]
        def handle_batch(self, payload):
            return [item * self.factor for item in payload]
        def on_job_complete(self):
            with open(ROOT / "complete", "a") as file:
                file.write("once")
    """
    apis.write("scale", handler(code), config={"number": {"factor": 2, "kept": True}})
    apis.serve()
    status = apis.batches("scale", list(range(100)), 7, workers=3, config={"number": {"factor": 3}})
    assert (status["status"], status["batch_metrics"]["succeeded"], status["batch_metrics"]["failed"]) == (
        "succeeded",
        15,
        0,
    )
    assert (apis.live.root / "complete").read_text() == "once"
    found = records(apis.live.ok("activations", "response", status["job_id"]).out)
    assert sorted(found) == [3 * number for number in range(100)]


def test_batches_that_take_too_long_are_dead_and_the_job_goes_on(apis: Apis) -> None:
    code = """
        def __init__(self, config): pass
        def handle_batch(self, payload):
            if payload == ["slow"]:
                time.sleep(600)
    """
    apis.write("nap", handler(code))
    apis.serve()
    status = apis.batches("nap", ["quick", "slow", "quick"], batch_timeout=0.2)
    assert (status["status"], status["batch_metrics"]["succeeded"]) == ("completed_with_failures", 2)
    assert (status["batches_dead"], status["batch_metrics"]["failed"]) == (1, 1)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ValueError('no such name')", "failed to run task {job}: ValueError: no such name"),
        ("sys.exit('no such name')", "exit code 1"),
    ],
)
def test_the_status_of_a_task_says_why_it_failed(apis: Apis, code: str, reason: str) -> None:
    apis.write("greet", f"class Task:\n    def __call__(self, config): {code}", "TaskAPI")
    apis.serve()
    status = apis.run("greet")
    assert status["status"] == "worker_error"
    assert reason.format(job=status["job_id"]) in status["reason"]


def test_a_class_that_cannot_be_run_fails_the_job_with_the_reason(apis: Apis) -> None:
    apis.write("count", handler("def __init__(self, config): pass\ndef handle_batch(self, items): pass"))
    apis.serve()
    status = apis.batches("count", [1, 2], workers=2)
    assert status["status"] == "worker_error"
    assert "'handle_batch' of the class 'Handler' has the parameter 'items'" in status["reason"]


def test_a_failing_on_job_complete_is_in_the_status_of_a_job_that_succeeded(apis: Apis) -> None:
    code = """
        def __init__(self, config): pass
        def handle_batch(self): pass
        def on_job_complete(self): raise OSError("no space")
    """
    apis.write("last", handler(code))
    apis.serve()
    status = apis.batches("last", [1])
    assert (status["status"], status["on_job_complete"]) == ("succeeded", "OSError: no space")


def test_code_submits_the_next_job_without_a_token(apis: Apis) -> None:
    code = """
        import urllib.request
        class Task:
            def __call__(self, config):
                body = {"workers": 1, "item_list": {"items": [1, 2], "batch_size": 1}}
                url = os.environ["CORTEX_GATEWAY_URL"] + "/batch/next"
                request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
                (ROOT / "job").write_text(urllib.request.urlopen(request).read().decode())
    """
    apis.write("first", code, "TaskAPI")
    apis.write("next", handler("def __init__(self, config): pass\ndef handle_batch(self): pass"))
    apis.serve()
    assert apis.run("first")["status"] == "succeeded"
    job = json.loads((apis.live.root / "job").read_text())

    def look() -> bool:
        return bool(apis.call("GET", f"/next?jobID={job['job_id']}")["job_status"]["status"] == "succeeded")

    until(look, "the next job succeeds")


def test_code_deploys_an_api_with_the_program_of_the_python_client(apis: Apis) -> None:
    code = """
        import subprocess
        Path("made").mkdir()
        Path("made/cortex.yaml").write_text("- {name: made, kind: TaskAPI, definition: {path: task.py}}")
        Path("made/task.py").write_text("class Task:\\n    def __call__(self, config): pass")
        class Task:
            def __call__(self, config):
                for words in (["deploy", "made/cortex.yaml"], ["get", "made"]):
                    words = [os.environ["CORTEX_CLI_PATH"], *words, "--env", "default", "-o", "json"]
                    ran = subprocess.run(words, capture_output=True)
                    assert ran.returncode == 0, ran.stderr
                (ROOT / "seen").write_bytes(ran.stdout)
    """
    apis.write("boss", code, "TaskAPI")
    apis.serve()
    status = apis.run("boss")
    assert status["status"] == "succeeded", status
    assert json.loads((apis.live.root / "seen").read_text())[0]["spec"]["name"] == "made"
    assert apis.run("made")["status"] == "succeeded"


def test_a_worker_that_missed_an_answer_gets_its_batches_again_and_no_more(apis: Apis) -> None:
    code = """
        def __init__(self, config): pass
        def handle_batch(self, payload):
            from fabric_skill import gateway
            if payload == [0]:
                call = {"ready": True, "want": 1, "held": [], "done": [], "failed": [], "completed": None}
                answer = gateway.connect().request("POST", gateway.path("batches"), json.dumps(call).encode() + b"\\n")
                (ROOT / "seen").write_bytes(answer.body)
    """
    apis.write("missed", handler(code))
    apis.serve()
    status = apis.batches("missed", [0, 1, 2])
    assert (status["status"], status["batch_metrics"]["succeeded"]) == ("succeeded", 3)
    head, body = (apis.live.root / "seen").read_text().splitlines()
    assert [(first, count, attempt) for _, first, count, attempt, *_ in json.loads(head)["batches"]] == [(0, 1, 1)]
    assert body == "[0]"


def test_metrics_of_the_code_are_metrics_of_the_gateway(apis: Apis) -> None:
    code = """
        def __init__(self, config, metrics_client):
            self.client = metrics_client
        def handle_batch(self, payload):
            self.client.increment("words.seen", len(payload), tags={"language": "en"})
            self.client.histogram("seconds", 0.25)
    """
    apis.write("words", handler(code))
    apis.serve()
    assert apis.batches("words", [1, 2, 3], size=2)["status"] == "succeeded"
    address = apis.live.published()
    request = urllib.request.Request(f"{address.url}/metrics", headers={"Authorization": f"Bearer {address.token}"})

    def look() -> set[str]:
        with urllib.request.urlopen(request) as answer:
            return wanted & set(answer.read().decode().splitlines())

    wanted = {
        'words_seen{api_name="words",language="en"} 3.0',
        "# TYPE words_seen counter",
        'seconds_sum{api_name="words"} 0.5',
        'seconds_count{api_name="words"} 2',
    }
    until(lambda: look() == wanted, f"{wanted} are among the metrics")


def test_packages_are_installed_and_what_is_not_is_remarked(apis: Apis, tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels", "cheese", "2.0")
    code = "import cheese\nclass Task:\n    def __call__(self, config): (ROOT / 'seen').write_text(cheese.VERSION)"
    directory = apis.write("shop", code, "TaskAPI", dependencies={"pip": "needs/more.txt"})
    (directory / "needs").mkdir()
    (directory / "needs" / "more.txt").write_text(requirements(tmp_path / "wheels", "cheese"))
    (directory / "conda-packages.txt").write_text("gdal\n")
    (directory / "dependencies.sh").write_text("touch /tmp/never\n")
    apis.serve()
    assert apis.run("shop")["status"] == "succeeded"
    assert (apis.live.root / "seen").read_text() == "2.0"
    (task,) = apis.live.ok("tasks", "list", "--output", "json").value
    remarks = "\n".join(apis.live.ok("tasks", "show", task["name"], "--output", "json").value["remarks"])
    assert "dependencies.sh has no effect here" in remarks
    assert "conda-packages.txt has no effect here" in remarks


def test_warm_workers_are_forked_from_a_process_that_has_imported_the_packages(apis: Apis) -> None:
    code = """
        import heavy
        class Handler:
            def __init__(self, config): pass
            def handle_batch(self, payload):
                return [[os.getpid(), heavy.PID, os.environ["KEY"], os.path.basename(os.getcwd())]]
    """
    directory = apis.write("forked", code, warm={"preload": ["heavy"]})
    (directory / "heavy.py").write_text("import os\nPID = os.getpid()\n")
    (directory / ".env").write_text("KEY=value\n")
    apis.serve()
    found = []
    for _ in range(2):
        status = apis.batches("forked", [1, 2, 3], workers=2)
        assert status["status"] == "succeeded"
        found += records(apis.live.ok("activations", "response", status["job_id"]).out)
    assert len({(heavy, key, place) for _, heavy, key, place in found}) == 1
    assert found[0][2:] == ["value", "project"]
    assert found[0][1] not in {pid for pid, *_ in found}
