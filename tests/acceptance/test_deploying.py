"""`fabric-jobs jobs deploy`, `apis`, `show` and `delete`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.live import Live, Started, names, until
from tests.gateway.test_users import Caller

BATCH = """\
- name: sums
  kind: BatchAPI
  handler:
    type: python
    path: handler.py
    config: {add: 1}
"""
HANDLER = """\
from pathlib import Path


class Handler:
    def __init__(self, config):
        self.add = config["add"]
        self.root = Path(config["root"])

    def handle_batch(self, payload):
        if (self.root / "gate").exists():
            (self.root / "waiting").touch()
            open(self.root / "gate").read()
        with open(self.root / "sums.txt", "a") as file:
            file.write(f"VERSION {sum(payload) + self.add} {open('value.txt').read()}\\n")
"""


def project(live: Live, version: str = "one", **files: str) -> Path:
    """Write a project in the workspace; return the path of its API file."""
    place = live.root / "sums"
    place.mkdir(exist_ok=True)
    given = {"cortex.yaml": BATCH, "handler.py": HANDLER.replace("VERSION", version), "value.txt": version, **files}
    for name, text in given.items():
        (place / name).write_text(text)
    return place / "cortex.yaml"


def submit(live: Live, items: list[int]) -> str:
    """Submit a job, as `requests` users do; return its id."""
    config = {"root": str(live.root)}
    body = {"workers": 1, "item_list": {"items": items, "batch_size": 2}, "config": config}
    answer = Caller(live).call("POST", "/batch/sums", json.dumps(body).encode())
    assert answer.status == 200, answer
    return str(json.loads(answer.body)["job_id"])


def ended(live: Live, job_id: str) -> str:
    """Return the status of a job once it has ended."""

    caller = Caller(live)

    def look() -> str | None:
        answer = caller.call("GET", f"/batch/sums?jobID={job_id}")
        status = str(json.loads(answer.body)["job_status"]["status"])
        return status if status not in ("pending", "enqueuing", "running") else None

    return until(look, "the job ends")


def test_deploy_list_show_and_delete(live: Live) -> None:
    file = project(live)
    made = live.ok("jobs", "deploy", file)
    assert made.out.startswith("created sums (BatchAPI): http://127.0.0.1:")
    assert made.out.endswith("/sums\n")
    assert "Sending 2 files" in made.err
    assert made.err.endswith("Next: fabric-jobs jobs show sums\n")
    assert live.ok("jobs", "deploy", file).out.startswith("sums (BatchAPI) is up to date: ")
    (row,) = live.ok("jobs", "apis", "--output", "json").value
    assert (row["name"], row["kind"], row["version"], row["running"]) == ("sums", "BatchAPI", 1, 0)
    assert live.ok("jobs", "apis").out.splitlines()[1].split()[:4] == ["sums", "BatchAPI", "1", "0"]
    shown = live.ok("jobs", "show", "sums", "-o", "json").value
    assert shown["spec"]["handler"]["config"] == {"add": 1}
    assert "path: handler.py" in live.ok("jobs", "show", "sums").out
    assert live.ok("jobs", "delete", "sums").out == "API 'sums' is deleted.\n"
    ran = live.ok("jobs", "apis")
    assert (ran.out, ran.err) == ("", "There are no APIs. Next: fabric-jobs jobs deploy cortex.yaml\n")


def test_a_directory_with_an_api_file_is_a_workspace(live: Live, tmp_path: Path) -> None:
    place = tmp_path / "alone"
    place.mkdir()
    (place / "cortex.yaml").write_text(BATCH)
    (place / "handler.py").write_text(HANDLER)
    try:
        ran = live.ok("jobs", "deploy", "--output", "json", cwd=place)
        assert names(ran.value) == ["sums"]
        assert (place / ".fabric-jobs" / "deployed").is_dir()
    finally:
        other = Live(tmp_path / "alone")
        other.stop_owner()


@pytest.mark.parametrize(
    ("files", "code", "said"),
    [
        ({"cortex.yaml": BATCH.replace("kind: BatchAPI", "kind: BatchApi")}, 4, "cortex.yaml:2:"),
        ({"cortex.yaml": BATCH.replace("handler.py", "other.py")}, 2, "cortex.yaml:5:"),
        ({"cortex.yaml": BATCH.replace("path: handler.py", "pth: handler.py")}, 4, "cortex.yaml:5:"),
        ({".cortexignore": "!\n"}, 4, ".cortexignore:1:"),
        ({".cortexignore": "handler.py\n"}, 2, "is it left out?"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(live: Live, files: dict[str, str], code: int, said: str) -> None:
    file = project(live, "one", **files)
    assert said in live.fails(code, "jobs", "deploy", file)
    assert live.ok("jobs", "apis", "-o", "json").value == []


def test_files_that_are_not_there(live: Live) -> None:
    assert "cannot be read" in live.fails(2, "jobs", "deploy", "nowhere/cortex.yaml")
    assert "no API 'none'" in live.fails(3, "jobs", "show", "none")
    assert "no API 'none'" in live.fails(3, "jobs", "delete", "none")
    file = project(live)
    live.environment["FABRIC_JOBS_PROJECT_BYTES"] = "100"
    assert "over the limit of 100" in live.fails(2, "jobs", "deploy", file)


def held_job(live: Live) -> tuple[str, Path]:
    """Submit a job whose first batch waits at a gate."""
    gate = live.gate("gate")
    job_id = submit(live, [1, 2, 3, 4])
    until((live.root / "waiting").exists, "the worker handles a batch")
    return job_id, gate


def test_a_job_keeps_the_version_that_it_was_submitted_with(live: Live) -> None:
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "60"
    live.ok("jobs", "deploy", project(live))
    job_id, gate = held_job(live)
    assert live.ok("jobs", "deploy", project(live, "two")).out.startswith("updated sums")
    live.kill_owner()
    live.ok("jobs", "apis")
    live.release(gate)
    gate.unlink()
    assert ended(live, job_id) == "succeeded"
    assert (live.root / "sums.txt").read_text() == "one 4 one\none 8 one\n"
    assert ended(live, submit(live, [5])) == "succeeded"
    assert (live.root / "sums.txt").read_text().endswith("two 6 two\n")


def test_deleting_an_api_asks_and_stops_its_jobs(live: Live) -> None:
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "60"
    live.ok("jobs", "deploy", project(live))
    job_id, _ = held_job(live)
    assert "stops 1 job of 'sums'. Add --yes" in live.fails(2, "jobs", "delete", "sums")
    assert "1 of its jobs is being stopped" in live.ok("jobs", "delete", "sums", "--yes").out
    assert ended(live, job_id) == "stopped"


def await_files(deployed: Path, started: Started) -> None:
    """Wait until files are being unpacked, or were."""
    until(lambda: any(deployed.glob(".partial-*/*")) or started.ended, "files are unpacked")


def test_a_deployment_outlasts_the_death_of_the_owner(live: Live) -> None:
    """The command sends everything again, and nothing half-written is left."""
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "60"
    live.ok("jobs", "apis")
    deployed = live.state / "deployed"
    for version in ("one", "two"):
        file = project(live, version, **{f"data-{number}.txt": version for number in range(300)})
        started = live.start("jobs", "deploy", file)
        await_files(deployed, started)
        live.kill_owner()
        ran = started.finish()
        assert ran.code == 0, ran
        assert live.ok("jobs", "deploy", file).out.startswith("sums (BatchAPI) is up to date")
    assert live.ok("state", "check").code == 0
    directories = list(deployed.iterdir())
    assert len(directories) == 2
    for directory in directories:
        assert {(directory / f"data-{number}.txt").read_text() for number in range(300)} <= {"one", "two"}
