"""What pods send to the gateway, and fetch from it: the routes, and the launcher against a real gateway."""

from __future__ import annotations

import io
import signal
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from fabric_jobs.executors.attempt_files import shipped, specs
from fabric_jobs.executors.base import AttemptSpec, ProcessSpec
from fabric_jobs.runtime.fabric_skill.http import Answer
from tests.acceptance.live import Live, until
from tests.gateway.test_jobs import HOLD, Job, held, refused
from tests.pods import Pod

__all__ = ["held"]

DEAF = """\
import signal
signal.signal(signal.SIGTERM, lambda number, frame: (ROOT / "asked").touch())
"""


@pytest.fixture
def job(held: Live) -> Job:
    return Job(held)


@pytest.fixture
def directory(held: Live, job: Job) -> Path:
    return held.attempts("held")[-1]


def post(job: Job, query: str, body: bytes = b"", **options: Any) -> Answer:
    return job.call("POST", f"attempts/{job.attempt}/output?{query}", body, **options)


def sent(job: Job, query: str, body: bytes = b"") -> int:
    answer = post(job, query, body)
    assert answer.status == 200, answer
    size: int = orjson.loads(answer.body)["size"]
    return size


def test_output_is_kept_by_stream_and_once(job: Job, directory: Path) -> None:
    assert sent(job, "stream=stdout&offset=0", b"one\n") == 4
    assert sent(job, "stream=stderr", b"\xff\0") == 2
    assert sent(job, "stream=stdout&offset=4", b"two\n") == 8
    assert sent(job, "stream=stdout&offset=4", b"two\nthree") == 13
    assert sent(job, "stream=stdout&offset=0") == 13
    assert ((directory / "stdout").read_bytes(), (directory / "stderr").read_bytes()) == (b"one\ntwo\nthree", b"\xff\0")
    assert not (directory / shipped.WHOLE).exists()
    assert "cannot go on at 14" in refused(post(job, "stream=stdout&offset=14&whole=true"), 400)
    assert not (directory / shipped.WHOLE).exists()
    sent(job, "stream=stdout&offset=13&whole=true")
    assert (directory / shipped.WHOLE).exists()


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("stream=stdout&offset=1", 400, "stdout has 0 bytes, so it cannot go on at 1"),
        ("stream=exit", 400, "'stream' must be stdout or stderr"),
        ("stream=../stdout", 400, "'stream' must be stdout or stderr"),
        ("stream=stdout&offset=-1", 400, "'offset' must be between 0"),
        ("stream=stdout&offset=x", 400, "'offset' must be a whole number"),
        ("whole=perhaps", 400, "'whole' must be true or false"),
    ],
)
def test_bad_requests_are_refused(job: Job, directory: Path, query: str, status: int, words: str) -> None:
    assert words in refused(post(job, query, b"x"), status)
    assert (directory / "stdout").read_bytes() == b""


def test_a_body_has_a_limit(job: Job, directory: Path) -> None:
    assert "limit" in refused(post(job, "stream=stdout", b"x" * ((4 << 20) + 1)), 413)
    assert (directory / "stdout").read_bytes() == b""


def test_only_the_attempts_own_token_is_taken(held: Live, job: Job, directory: Path) -> None:
    other = Job(held, "other")
    assert "own attempt" in refused(post(job, "stream=stdout", b"x", token=other.message["token"]), 401)
    assert "signed" in refused(post(job, "stream=stdout", b"x", token="a.b.c"), 401)
    owner = held.published().token
    assert post(job, "stream=stdout", b"x", token=owner).status == 401
    for verb in ("files/payload.json", "project"):
        answer = job.call("GET", f"attempts/{job.attempt}/{verb}", token=other.message["token"])
        assert "own attempt" in refused(answer, 401)
    assert (directory / "stdout").read_bytes() == b""


def test_once_its_end_is_recorded_nothing_is_taken(held: Live, job: Job, directory: Path) -> None:
    held.release(held.root / "gate")
    until(lambda: (directory / "exit").exists(), "the end is recorded")
    assert "end is recorded" in refused(post(job, "stream=stdout", b"late\n"), 409)
    assert b"late" not in (directory / "stdout").read_bytes()


def test_what_has_no_files_is_said(job: Job, directory: Path) -> None:
    aside = directory.with_name("aside")
    directory.rename(aside)
    try:
        assert "no files of attempt" in refused(post(job, "stream=stdout", b"x"), 404)
        assert "no files of attempt" in refused(job.call("GET", f"attempts/{job.attempt}/project"), 404)
    finally:
        aside.rename(directory)


def test_a_cancelled_task_prints_until_its_end(held: Live) -> None:
    held.skill("held", f"{DEAF}{HOLD}", receives="stream")
    job = Job(held)
    directory = held.attempts("held")[-1]
    held.ok("activations", "cancel", job.message["activationId"])
    until((held.root / "asked").exists, "it is asked to end")
    assert sent(job, "stream=stdout", b"good-bye\n") == 9
    held.release(held.root / "gate")
    until(lambda: (directory / "exit").exists(), "the end is recorded")
    assert (directory / "stdout").read_bytes() == b"good-bye\n"


def test_files_and_project_are_fetched(job: Job, directory: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "deep").mkdir(parents=True)
    (project / "deep" / "code.py").write_text("print('of the project')\n")
    (project / "link").symlink_to("/etc/hostname")
    (project / "deep" / "code.py").chmod(0o700)
    process = ProcessSpec(directory=project, is_project=True)
    with spec_in(directory, AttemptSpec(name=directory.name, processes=(process,), files={"a.json": b"\xff{}"})):
        found = job.call("GET", f"attempts/{job.attempt}/files/a.json")
        assert (found.status, found.body) == (200, b"\xff{}")
        for name in ("b.json", "..%2Fspec.json", "%2Fetc%2Fpasswd"):
            assert job.call("GET", f"attempts/{job.attempt}/files/{name}").status == 404
        packed = job.call("GET", f"attempts/{job.attempt}/project")
        with tarfile.open(fileobj=io.BytesIO(packed.body)) as tar:
            modes = {entry.name: (entry.mode & 0o777, entry.uid) for entry in tar.getmembers() if entry.isfile()}
        assert modes == {"./deep/code.py": (0o744, 0)}
    secret = AttemptSpec(name=directory.name, processes=(replace(process, is_secret=True),), files={"a.json": b"{}"})
    with spec_in(directory, secret):  # as after a restart of the gateway
        answer = job.call("GET", f"attempts/{job.attempt}/files/a.json")
        assert "its files have secrets" in refused(answer, 409)
    with spec_in(directory, AttemptSpec(name=directory.name, processes=(ProcessSpec(directory=project),))):
        assert "does not see its project" in refused(job.call("GET", f"attempts/{job.attempt}/project"), 404)


@contextmanager
def spec_in(directory: Path, spec: AttemptSpec) -> Iterator[None]:
    """Give a local attempt the spec that those in a cluster have."""
    specs.write_spec(directory, spec)
    yield
    (directory / specs.FILE).unlink()


# The launcher against a real gateway.


def pod_of(job: Job, place: Path, *words: str, **changes: Any) -> Pod:
    url = job.message["apiEndpoint"].removesuffix("/px")
    return Pod(place, url, *words, attempt=job.attempt, token=job.message["token"], **changes)


def test_a_launcher_fetches_what_its_program_needs(job: Job, directory: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "code.py").write_text("import sys; print(sys.argv[1], open(sys.argv[1]).read())\n")
    process = ProcessSpec(directory=project, is_project=True)
    with spec_in(directory, AttemptSpec(name=directory.name, processes=(process,), files={"a.json": b"{}"})):
        path = str(tmp_path / "pod" / "files" / "a.json")
        pod = pod_of(job, tmp_path / "pod", sys.executable, "code.py", path, files=["a.json"], project=True)
        pod.ends()
    assert (directory / "stdout").read_text() == f"{path} {{}}\n"
    assert (directory / "stderr").read_bytes() == b""


def test_a_launcher_without_its_files_says_why(job: Job, directory: Path, tmp_path: Path) -> None:
    pod = pod_of(job, tmp_path / "pod", "true", files=["a.json"])
    pod.ends(125)
    assert b"cannot be fetched: there are no files of attempt" in pod.logged()[1]


def test_forty_megabytes_survive_a_gateway_that_is_killed(
    held: Live, job: Job, directory: Path, tmp_path: Path
) -> None:
    code = "for n in range(400_000): print(f'{n:099d}')"
    pod = pod_of(job, tmp_path / "pod", sys.executable, "-c", code)
    until(lambda: (directory / "stdout").stat().st_size > 1 << 20, "output arrives")
    held.kill_owner()
    until(lambda: (pod.work / "stdout").stat().st_size == 40_000_000, "the program goes on without its gateway")
    assert pod.process.poll() is None
    held.ok("activations", "list")  # starts another gateway
    pod.ends()
    assert (directory / "stdout").read_bytes() == b"".join(b"%099d\n" % number for number in range(400_000))
    assert (directory / shipped.WHOLE).exists()


def test_a_stopped_launcher_sends_the_last_words(job: Job, directory: Path, tmp_path: Path) -> None:
    words = ("/bin/sh", "-c", "trap 'echo last; exit 5' TERM; echo first; while :; do sleep 0.02; done")
    pod = pod_of(job, tmp_path / "pod", *words)
    until(lambda: (directory / "stdout").read_bytes() == b"first\n", "the first line arrives")
    pod.process.send_signal(signal.SIGTERM)
    pod.ends(5)
    assert (directory / "stdout").read_bytes() == b"first\nlast\n"
