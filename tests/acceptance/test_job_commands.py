"""`fabric-jobs jobs submit|get|list|watch|stop|logs|batches|deadletters|retry-failed`, without a server."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.live import COMMAND, Live, names, records, until

LENGTHS = """\
    class Handler:
        def __init__(self, config):
            self.least = config["least"]

        def handle_batch(self, payload):
            for word in payload:
                if len(word) < self.least:
                    raise ValueError(f"{word!r} is too short")
            return [{"word": word, "letters": len(word)} for word in payload]
"""
WAITS = """\
    class Handler:
        def __init__(self, config):
            pass

        def handle_batch(self, payload):
            open(payload[0]).close()
"""
GREETS = """\
    class Task:
        def __call__(self, config):
            for name in config["names"]:
                print(config["greeting"], name)
            if config.get("fail"):
                raise RuntimeError("somebody is rude")
"""


def api(live: Live, name: str, code: str, *, kind: str = "BatchAPI", **config: Any) -> None:
    """Write an API of the workspace."""
    block, file = ("handler", "handler.py") if kind == "BatchAPI" else ("definition", "task.py")
    handler = {"path": file, "config": config, **({"type": "python"} if kind == "BatchAPI" else {})}
    directory = live.root / "skills" / name
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "cortex.yaml").write_text(json.dumps([{"name": name, "kind": kind, block: handler}]))
    (directory / file).write_text(textwrap.dedent(code))


@pytest.fixture(autouse=True)
def _apis(live: Live) -> None:
    api(live, "measure", LENGTHS, least=1)


def submit(live: Live, *words: object, api: str = "measure") -> str:
    """Submit a job that must succeed; return its id."""
    return live.ok("jobs", "submit", api, *words, "--watch", "--quiet").out.strip()


def test_a_job_runs_from_its_submission_to_its_results(live: Live) -> None:
    items = '["storm", "snow", "wind"]'
    ran = live.ok("jobs", "submit", "measure", "--items", items, "--batch-size", 2, "--workers", 2, "--watch")
    job_id = ran.out.strip()
    assert len(job_id) == 16
    assert f"job {job_id} succeeded in " in ran.err
    assert "s: 2 of 2 batches succeeded\n" in ran.err
    assert ran.err.endswith(f"Next: fabric-jobs activations response {job_id}\n")
    results = records(live.ok("activations", "response", job_id).out)
    assert sorted(record["word"] for record in results) == ["snow", "storm", "wind"]

    found = live.ok("jobs", "get", job_id[:12], "-o", "json").value
    assert {"status": "succeeded", "workers": 2, "batch_size": 2, "items": 3}.items() <= found.items()
    assert found["batch_metrics"]["succeeded"] == found["total_batch_count"] == 2
    assert "status: succeeded\n" in live.ok("jobs", "get", job_id).out
    (listed,) = live.ok("jobs", "list", "--api", "measure", "--status", "succeeded", "-o", "json").value
    assert listed["job_id"] == job_id
    assert "2 of 2" in live.ok("jobs", "list").out
    assert live.ok("jobs", "list", "--status", "stopped").err == "There are no such jobs.\n"
    assert live.ok("jobs", "batches", job_id).err == "No batch has failed.\n"
    assert live.ok("jobs", "deadletters", job_id).err == "The job has no dead letters.\n"


def test_without_watch_it_runs_in_the_background(live: Live) -> None:
    ran = live.ok("jobs", "submit", "measure", "--items-file", "-", stdin='"one"\n"two"\n')
    job_id = ran.out.strip()
    assert ran.err == f"Next: fabric-jobs jobs watch {job_id}\n"
    assert live.ok("jobs", "watch", job_id[:10], "-q", "-o", "json").value["items"] == 2
    assert live.ok("jobs", "stop", job_id).out.startswith(f"job {job_id} had ended")


def test_lists_are_read_page_by_page(live: Live) -> None:
    items = json.dumps(["a"] * 1002 + ["word"])
    failed = live.run("jobs", "submit", "measure", "--items", items, "--config", '{"least": 2}', "--watch", "-q")
    job_id = failed.out.strip()
    assert failed.code == 1
    first = live.ok("jobs", "batches", job_id, "-o", "json")
    assert (len(first.value), first.err) == (100, "There are more: add --limit, or --state.\n")
    whole = live.ok("jobs", "batches", job_id, "--limit", 10_000, "-o", "json")
    assert [batch["first"] for batch in whole.value] == list(range(1002))
    assert whole.err == ""
    last = submit(live, "--items", '["word"]')
    newest = live.ok("jobs", "list", "--limit", 1, "-o", "json")
    assert (names(newest.value, "job_id"), newest.err) == ([last], "There are more: add --limit, or a filter.\n")
    every = live.ok("jobs", "list", "--limit", 10_000, "-o", "json")
    assert (names(every.value, "job_id"), every.err) == ([last, job_id], "")


def test_items_come_from_files_of_the_current_directory(live: Live) -> None:
    lists = live.root / "lists"
    lists.mkdir()
    (lists / "cold.ndjson").write_text('"hail" "sleet"\n')
    (lists / "wet.ndjson").write_text('"fog"\n')
    said = live.fails(2, "jobs", "submit", "measure", "--ndjson", "cold.ndjson")
    assert f"{live.root}/cold.ndjson is neither a file nor a directory" in said
    ran = live.ok("jobs", "submit", "measure", "--ndjson", ".", "--include", "**.ndjson", "--watch", "-q", cwd=lists)
    results = records(live.ok("activations", "response", ran.out.strip()).out)
    assert sorted(names(results, "word")) == ["fog", "hail", "sleet"]


def test_a_dry_run_lists_files_and_starts_nothing(live: Live) -> None:
    photos = live.root / "photos"
    photos.mkdir()
    for name in ("img_1.png", "img_2.jpg", "img_3.jpg"):
        (photos / name).touch()
    given = ("--files", "photos/", "--include", "**.jpg", "--exclude", "**_3.jpg", "--dry-run")
    lines = live.ok("jobs", "submit", "measure", *given).out.splitlines()
    assert [line.rpartition("/")[2] for line in lines] == ["img_2.jpg", "validations passed"]
    assert live.ok("jobs", "list").err == "There are no jobs.\n"
    assert "photos/img_9 is neither" in live.fails(
        2, "jobs", "submit", "measure", "--files", "photos/img_9", "--dry-run"
    )


def test_a_batch_that_fails_is_shown_and_retried(live: Live) -> None:
    given = ("--items", '["storm", "ice", "snow", "wind"]', "--batch-size", 2, "--config", '{"least": 4}')
    ran = live.run("jobs", "submit", "measure", *given, "--watch", "-q")
    job_id = ran.out.strip()
    assert ran.code == 1
    assert (
        f"job {job_id} ended completed_with_failures: 1 of 2 batches succeeded, 1 is dead: ValueError: 'ice' is too short\n"
        in ran.err
    )
    assert ran.err.endswith(f"Next: fabric-jobs jobs batches {job_id}\n")

    (batch,) = live.ok("jobs", "batches", job_id, "--state", "dead", "-o", "json").value
    assert {"first": 0, "count": 2, "state": "dead", "attempts": 1, "lost": 0}.items() <= batch.items()
    assert "'ice' is too short" in batch["error"]
    assert "0 to 1  dead" in live.ok("jobs", "batches", job_id).out
    shown = live.ok("jobs", "deadletters", job_id)
    assert shown.out.count(batch["batch_id"]) == 2
    assert shown.err == f"Next: fabric-jobs jobs retry-failed {job_id}\n"

    first, second = sorted(live.ok("jobs", "deadletters", job_id, "-o", "json").value, key=lambda row: row["id"])
    live.ok("deadletters", "edit", second["id"], "--payload", '"icicle"')
    again = live.ok("jobs", "retry-failed", job_id, "--watch", "-q").out.strip()
    results = records(live.ok("activations", "response", again).out)
    assert sorted(names(results, "word")) == ["icicle", "storm"]
    assert live.ok("jobs", "get", again, "-o", "json").value["retry_of"] == job_id
    assert "no dead letter" in live.fails(2, "jobs", "retry-failed", job_id)
    assert first["id"] < second["id"]


def test_a_task_has_no_items(live: Live) -> None:
    api(live, "greet", GREETS, kind="TaskAPI", greeting="hello", names=["world"])
    job_id = submit(live, "--config", '{"names": ["Ada", "Grace"]}', api="greet")
    assert live.ok("jobs", "logs", job_id).out == "greet | hello Ada\ngreet | hello Grace\n"
    ran = live.run("jobs", "submit", "greet", "--config", '{"fail": true}', "--watch", "-q")
    assert ran.code == 1
    assert "ended worker_error" in ran.err
    assert "somebody is rude" in ran.err
    assert "must be 1" in live.fails(2, "jobs", "submit", "greet", "--workers", 2)


def test_ctrl_c_stops_the_job_and_a_second_one_leaves_it(live: Live) -> None:
    api(live, "wait", WAITS)
    gate = live.gate("gate")
    started = [live.start("jobs", "submit", "wait", "--items", json.dumps([str(gate)]), "--watch") for _ in range(2)]
    for one in started:
        one.wait_for("wait: running")
        one.signal(signal.SIGINT)
        one.wait_for("press Ctrl-C again now to leave it running")
    started[1].signal(signal.SIGINT)
    stopped, left = (one.finish() for one in started)
    assert (stopped.code, left.code) == (130, 130)
    assert f"Job {stopped.out.strip()} is stopped." in stopped.err
    assert f"Left as it is. Next: fabric-jobs jobs watch {left.out.strip()}" in left.err
    status = {job["job_id"]: job["status"] for job in live.ok("jobs", "list", "-o", "json").value}
    assert status == {stopped.out.strip(): "stopped", left.out.strip(): "running"}
    live.release(gate)
    live.ok("jobs", "watch", left.out.strip(), "-q")


def test_a_job_outlives_the_owner_and_so_does_who_watches_it(live: Live) -> None:
    api(live, "wait", WAITS)
    gate = live.gate("gate")
    watching = live.start("jobs", "submit", "wait", "--items", json.dumps([str(gate)]), "--watch")
    watching.wait_for("wait: running")
    live.kill_owner()
    live.release(gate)
    ran = watching.finish()
    assert (ran.code, "1 of 1 batches succeeded" in ran.err) == (0, True)


def test_what_cannot_be_is_said_before_anything_starts(live: Live) -> None:
    assert "both say what the items are" in live.fails(2, "jobs", "submit", "measure", "--items", "[1]", "--files", "x")
    assert "--include needs --ndjson or --files" in live.fails(2, "jobs", "submit", "measure", "--include", "x")
    assert "is not JSON" in live.fails(2, "jobs", "submit", "measure", "--items", "[1")
    assert "exactly one of" in live.fails(2, "jobs", "submit", "measure")
    assert "at least 1 element" in live.fails(2, "jobs", "submit", "measure", "--items", "[]")
    assert "there is no API 'nothing'" in live.fails(3, "jobs", "submit", "nothing", "--items", "[1]")
    assert "there is no job" in live.fails(3, "jobs", "get", "abcdef0123456789")
    live.skill("plain", "print(1)")
    assert "there is no API 'plain'" in live.fails(3, "jobs", "submit", "plain", "--items", "[1]")
    file = live.root / "job.json"
    file.write_text('{"workers": 1}')
    assert "no effect with --submission" in live.fails(
        2, "jobs", "submit", "measure", "--submission", file, "--workers", 2
    )
    assert "exactly one of" in live.fails(2, "jobs", "submit", "measure", "--submission", file)
    assert live.ok("jobs", "list").err == "There are no jobs.\n"


def test_a_terminal_sees_the_batches_and_the_end(live: Live) -> None:
    master, slave = pty.openpty()
    words: list[str | Path] = [
        COMMAND,
        "jobs",
        "submit",
        "measure",
        "--items",
        json.dumps(["a", "bc"] * 50),
        "--batch-size",
        "10",
        "--watch",
    ]
    try:
        process = subprocess.Popen(
            words, stdin=slave, stdout=subprocess.DEVNULL, stderr=slave, env=live.environment, cwd=live.root
        )
        os.close(slave)
        text = _all_of(master)
        assert process.wait(60) == 0
    finally:
        os.close(master)
    drawn = [line.rpartition("\x1b[2K")[2].split() for line in text.splitlines() if "\x1b[2K" in line]
    assert drawn[-1] == ["measure", "succeeded", "10", "of", "10", "batches"]
    assert text.splitlines()[-1].startswith("Next: fabric-jobs activations response")


def test_a_gateway_elsewhere_takes_jobs_for_what_it_has(live: Live, tmp_path: Path) -> None:
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "60"
    (live.root / "words.ndjson").write_text('"ice"\n"snow"\n')
    submit(live, "--items", '["first"]')
    address = live.published()
    there = ("--url", address.url, "--token", address.token)
    given = ("jobs", "submit", "measure", "--ndjson", live.root / "words.ndjson", "--batch-size", 2, *there)
    dry = live.ok(*given, "--dry-run", cwd=tmp_path)
    assert dry.out == f"{live.root}/words.ndjson\nvalidations passed\n"
    ran = live.ok(*given, "--watch", "-q", cwd=tmp_path)
    assert ran.err.endswith(f"Next: fabric-jobs activations response {ran.out.strip()} --url {address.url}\n")
    assert address.token not in ran.err
    results = records(live.ok("activations", "response", ran.out.strip(), *there, cwd=tmp_path).out)
    assert names(results, "word") == ["ice", "snow"]
    assert "at least 1 element" in live.fails(2, "jobs", "submit", "measure", "--items", "[]", "--dry-run", *there)


def test_an_api_is_a_skill_of_an_agent(live: Live) -> None:
    live.skill("split", "for word in message()['payload'].split(): send_message(word)")
    live.agent("measured", ("input", "split"), ("split", "measure"), ("measure", "output"))
    record = live.invoke("measured", "snow on a hill", kind="agents")
    assert sorted(names(record["response"], "word")) == ["a", "hill", "on", "snow"]
    assert live.ok("jobs", "list").err == "There are no jobs.\n"
    until(lambda: live.ok("activations", "list", "-o", "json").value, "it is listed")


def _all_of(master: int) -> str:
    parts = []
    while True:
        try:
            parts.append(os.read(master, 65_536))
        except OSError:  # the other side is closed
            return b"".join(parts).decode()
