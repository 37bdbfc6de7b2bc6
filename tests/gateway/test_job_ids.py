"""A caller may choose the id of a job: then a submission that is sent twice starts one job."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from fabric_jobs.jobs import new_id
from fabric_jobs.runtime.fabric_skill.http import Answer, Connection
from tests.acceptance.live import PROJECT, Live

API = {"name": "measure", "kind": "BatchAPI", "handler": {"type": "python", "path": "handler.py"}}
ITEMS = {"workers": 1, "item_list": {"items": [1, 2], "batch_size": 1}}


@pytest.fixture
def line(live: Live) -> Iterator[Connection]:
    """A connection to an owner that has a Batch API."""
    source = live.root / "skills" / "measure"
    source.mkdir()
    (source / "handler.py").write_text("class Handler:\n    def handle_batch(self, payload):\n        pass\n")
    live.ok("activations", "list")
    address = live.published()
    made = Connection(address.socket, address.token)
    headers = {"x-fabric-source": quote(str(source))}
    saved = made.request(
        "POST", f"{PROJECT}/skills", json.dumps({"name": "measure", "api": API}).encode(), headers=headers
    )
    assert saved.status == 200, saved
    yield made
    made.close()


def submit(line: Connection, body: Any = ITEMS, **headers: str) -> Answer:
    given = {key.replace("_", "-"): value for key, value in headers.items()}
    return line.request("POST", "/batch/measure", json.dumps(body).encode(), headers=given)


def jobs(line: Connection) -> list[str]:
    found = json.loads(line.request("GET", f"{PROJECT}/jobs").body)["jobs"]
    return [job["job_id"] for job in found]


def test_the_second_submission_gets_the_first_job(line: Connection) -> None:
    job_id = new_id()
    first, second = (submit(line, x_fabric_job_id=job_id) for _ in range(2))
    assert (first.status, second.status) == (200, 200)
    assert json.loads(first.body) == json.loads(second.body)
    assert json.loads(first.body)["job_id"] == job_id
    assert jobs(line) == [job_id]
    assert submit(line).status == 200
    assert len(jobs(line)) == 2


def test_an_id_stands_for_one_submission(line: Connection) -> None:
    job_id = new_id()
    submit(line, x_fabric_job_id=job_id)
    other = submit(line, {**ITEMS, "workers": 2}, x_fabric_job_id=job_id)
    assert other.status == 400
    assert "belongs to activation" in json.loads(other.body)["message"]
    assert jobs(line) == [job_id]


@pytest.mark.parametrize("job_id", ["1", "g" * 16, "A" * 16, "0" * 17, "../" * 4])
def test_what_is_no_id_is_refused(job_id: str, line: Connection) -> None:
    answer = submit(line, x_fabric_job_id=job_id)
    assert answer.status == 400
    assert json.loads(answer.body)["message"] == f"'{job_id}' is not the id of a job."
    assert jobs(line) == []
