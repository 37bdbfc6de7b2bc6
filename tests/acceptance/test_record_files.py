"""Files of records: what programs write and read themselves, on a full disk, out of sight, and damaged by others."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.live import Live, until

# The gateway proposes a file after the first commit that has some records.
SOURCE = """
from fabric_skill import flush
for part in range(2):
    for n in range(message()["payload"]):
        send_message({"n": n, "pad": "x" * 500})
    flush()
open(ROOT / "sent").read()
"""
TOTAL = """
open(ROOT / "begin").read()
send_message(sum(record["n"] for record in messages()))
"""
COUNT = 400
EXPECTED = 2 * sum(range(COUNT))


@pytest.fixture
def line(live: Live) -> Iterator[Live]:
    """Yield a workspace whose source and reader wait at gates, and whose database holds almost nothing."""
    live.environment["FABRIC_JOBS_INLINE_BYTES"] = "100"
    live.skill("source", SOURCE)
    live.skill("total", TOTAL, receives="stream")
    live.agent("line", ("input", "source"), ("source", "total"), ("total", "output"))
    yield live
    subprocess.run(["umount", "-l", live.state / "records"], capture_output=True, check=False)


def written(live: Live) -> list[Path]:
    """Return the files that programs have written, each in its attempt's directory."""
    return [path for path in (live.state / "records").rglob("*") if path.is_file() and path.parts[-2] != "owner"]


def test_a_program_writes_its_records_into_a_file_and_the_next_one_reads_it(line: Live) -> None:
    begin, sent = line.gate("begin"), line.gate("sent")
    activation = line.detach("line", COUNT, kind="agents")
    until(lambda: line.progress(activation)["source"]["out"] == 2 * COUNT, "all commits")
    (file,) = written(line)
    assert COUNT <= file.read_bytes().count(b"\n") < 2 * COUNT
    assert file.stat().st_mode & 0o777 == 0o644
    assert (line.state / "records").stat().st_mode & 0o777 == 0o700
    line.release(begin)
    line.release(sent)
    assert line.wait(activation)["response"] == EXPECTED
    until(lambda: not written(line), "the end of the file")
    line.ok("state", "check")


@pytest.mark.parametrize("skill", ["source", "total"])
def test_a_program_that_sees_no_files_gets_and_sends_bytes(line: Live, skill: str) -> None:
    blind = "import os\nos.environ['FABRIC_JOBS_RECORDS'] = '/nowhere'\n"
    line.skill(
        skill, blind + {"source": SOURCE, "total": TOTAL}[skill], receives="stream" * (skill == "total") or "message"
    )
    begin, sent = line.gate("begin"), line.gate("sent")
    activation = line.detach("line", COUNT, kind="agents")
    line.release(sent)
    line.release(begin)
    assert line.wait(activation)["response"] == EXPECTED


def test_a_file_that_somebody_changed_fails_the_activation_and_is_named(line: Live) -> None:
    begin, sent = line.gate("begin"), line.gate("sent")
    activation = line.detach("line", COUNT, kind="agents")
    until(lambda: line.progress(activation)["source"]["out"] == 2 * COUNT, "all commits")
    (file,) = written(line)
    data = file.read_bytes()
    file.write_bytes(data.replace(b"xx", b"yx", 1))
    line.release(begin)
    line.release(sent)
    record = line.wait(activation)
    assert record["status"] == "ERROR"
    assert str(file) in str(record["error"])
    ran = line.run("state", "check")
    assert ran.code == 1
    assert str(file) in ran.out + ran.err


def test_a_program_waits_for_room_on_a_full_disk(line: Live) -> None:
    place = line.state / "records"
    line.state.mkdir(mode=0o700)
    place.mkdir(mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "none", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    begin, sent = line.gate("begin"), line.gate("sent")
    activation = line.detach("line", COUNT, kind="agents")
    until(lambda: "waiting for space" in _said(line), "that the disk is full")
    assert str(place) in _said(line)
    subprocess.run(["mount", "-o", "remount,size=64m", place], check=True)
    line.release(begin)
    line.release(sent)
    assert line.wait(activation)["response"] == EXPECTED
    assert _said(line).count("waiting for space") == 1


def _said(live: Live) -> str:
    """Return what the source has printed to stderr."""
    return "".join((path / "stderr").read_text() for path in live.attempts("source") if os.path.exists(path / "stderr"))
