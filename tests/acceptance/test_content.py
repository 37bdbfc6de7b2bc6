"""`fabric-jobs content`, as its users have it: files, directories, streams, and what breaks off."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from fabric_jobs.blobs import PIECE_BYTES
from tests.acceptance.live import Live, until
from tests.gateway.test_content import Contents, incoming

LONG = 256 << 20  # long enough to break off in the middle


@pytest.fixture(autouse=True)
def patient(live: Live) -> None:
    """Let an owner started by one command stay for the next, however slow the machine is."""
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "120"


def sparse(path: Path, size: int = LONG) -> Path:
    """Make a long file that takes no space."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def tree(root: Path) -> dict[str, bytes]:
    """Return every file below a directory."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def peak(pid: int) -> int:
    """Return the most memory that a process has had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def test_a_directory_goes_up_and_comes_down(live: Live) -> None:
    files = {"a.csv": b"1,2", "b c/ü.bin": os.urandom(PIECE_BYTES + 1), "b c/empty": b"", ".hidden": b"h"}
    source = write(live.root / "data", files)
    assert "There is no such content" in live.ok("content", "list").err
    said = live.ok("content", "upload", "/models/", source)
    assert "4 files uploaded" in said.err
    assert "Next: fabric-jobs content list models/" in said.err
    rows = live.ok("content", "list", "models/", "--output", "json").value
    assert [row["Key"] for row in rows] == [f"models/{name}" for name in sorted(files)]
    assert {row["Key"]: row["ContentType"] for row in rows}["models/a.csv"] == "text/csv"
    table = live.ok("content", "list", "models/b").out.splitlines()
    assert table[0].split() == ["KEY", "SIZE", "TYPE", "UPLOADED"]
    assert len(table) == 3
    assert "There is more" in live.ok("content", "list", "--limit", "1").err
    assert "4 files downloaded" in live.ok("content", "download", "models/").err
    assert tree(live.root / "models") == files
    live.ok("content", "download", "/", "all")
    assert tree(live.root / "all") == {f"models/{name}": data for name, data in files.items()}
    assert live.ok("content", "delete", "models/b c/", "--yes").err.startswith("2 keys are deleted")
    assert len(live.ok("content", "list", "--output", "json").value) == 2


def test_one_file_and_streams(live: Live) -> None:
    data = os.urandom(PIECE_BYTES + 7)
    (live.root / "x.bin").write_bytes(data)
    assert "content download a/x" in live.ok("content", "upload", "a/x", "x.bin", "--content-type", "text/plain").err
    assert live.ok("content", "list", "-o", "json").value[0]["ContentType"] == "text/plain"
    live.ok("content", "upload", "a/", "x.bin")
    live.ok("content", "upload", "piped", "-", stdin=data)
    assert [row["Key"] for row in live.ok("content", "list", "-o", "json").value] == ["a/x", "a/x.bin", "piped"]
    assert live.ok("content", "download", "piped", "-").out.encode(errors="surrogateescape") == data
    live.ok("content", "download", "a/x")
    (live.root / "d").mkdir()
    live.ok("content", "download", "a/x.bin", "d")
    assert (live.root / "x").read_bytes() == (live.root / "d/x.bin").read_bytes() == data


def test_what_is_there_already_is_skipped_and_nothing_is_overwritten(live: Live) -> None:
    source = write(live.root / "data", {"a": b"1", "b": b"2"})
    live.ok("content", "upload", "k", source)
    assert "0 files uploaded, 0B, 2 files unchanged" in live.ok("content", "upload", "k", source).err
    (source / "b").write_bytes(b"3")
    assert live.ok("content", "upload", "k", source, "-o", "json").value[0]["key"] == "k/b"
    assert "b exists already" in live.fails(2, "content", "download", "k/", write(live.root / "t", {"b": b"2"}))
    assert tree(live.root / "t") == {"b": b"2"}
    assert "2 files downloaded" in live.ok("content", "download", "k/", "t", "--force").err
    assert "0 files downloaded, 0B, 2 files unchanged" in live.ok("content", "download", "k/", "t").err
    assert tree(live.root / "t") == {"a": b"1", "b": b"3"}


def test_a_broken_upload_goes_on_with_what_is_missing(live: Live) -> None:
    source = write(live.root / "data", {"a": b"first"})
    sparse(source / "z")
    calls = Contents(live)
    command = live.start("content", "upload", "k", source)
    until(lambda: calls.keys() == ["k/a"] and [size for size in incoming(calls) if size], "the second is under way")
    command.kill()
    until(lambda: not incoming(calls), "the half upload is gone")
    assert calls.keys() == ["k/a"]
    assert "1 file uploaded, 268.4MB, 1 file unchanged" in live.ok("content", "upload", "k", source).err
    assert calls.keys() == ["k/a", "k/z"]


def test_an_upload_outlasts_the_death_of_the_gateway(live: Live) -> None:
    calls = Contents(live)
    command = live.start("content", "upload", "k", sparse(live.root / "long"))
    until(lambda: [size for size in incoming(calls) if size >= PIECE_BYTES], "a part is on the disk")
    os.kill(calls.address.pid, signal.SIGKILL)
    ran = command.finish()
    assert ran.code == 0, ran
    (row,) = live.ok("content", "list", "-o", "json").value
    assert (row["Key"], row["Size"]) == ("k", LONG)
    assert live.ok("state", "check", "-o", "json").value["healthy"] is True


def test_a_download_goes_on_where_it_broke_off(live: Live) -> None:
    data = os.urandom(2 * PIECE_BYTES)
    (live.root / "x").write_bytes(data)
    live.ok("content", "upload", "k/x", "x")
    partial = live.root / f".{live.ok('content', 'list', '-o', 'json').value[0]['Sha256'][:16]}.partial"
    partial.write_bytes(data[: PIECE_BYTES + 3])
    live.ok("content", "download", "k/x", "y")
    assert (live.root / "y").read_bytes() == data
    assert not partial.exists()
    partial.write_bytes(b"something else" + data[14:100])  # the rest is fetched, and does not go with it
    assert "Type the command again" in live.fails(2, "content", "download", "k/x", "z")
    assert not (live.root / "z").exists()
    live.ok("content", "download", "k/x", "z")
    assert (live.root / "z").read_bytes() == data


def test_memory_does_not_grow_with_the_length(live: Live) -> None:
    calls = Contents(live)
    (live.root / "small").write_bytes(bytes(4 * PIECE_BYTES))
    live.ok("content", "upload", "small", "small")
    live.ok("content", "download", "small", "down")
    before = peak(calls.address.pid)
    live.ok("content", "upload", "long", sparse(live.root / "long"))
    live.ok("content", "download", "long", "copy")
    assert (live.root / "copy").stat().st_size == LONG
    assert peak(calls.address.pid) - before < 16 << 20


def test_mistakes_are_told_in_words(live: Live) -> None:
    (live.root / "x").write_bytes(b"x")
    (live.root / "none").mkdir()
    assert "no file" in live.fails(2, "content", "upload", "k", "nothing")
    assert "no files in" in live.fails(2, "content", "upload", "k", "none")
    assert "not a key" in live.fails(2, "content", "upload", "a/../b", "x")
    (live.root / "none" / "line\nend").write_bytes(b"")
    assert "not a key" in live.fails(2, "content", "upload", "k", "none")
    assert "no content 'k'" in live.fails(3, "content", "download", "k")
    assert "below 'k/'" in live.fails(3, "content", "download", "k/")
    assert "Name the directory" in live.fails(2, "content", "download", "/")
    assert "no content 'k'" in live.fails(3, "content", "delete", "k")
    live.ok("content", "upload", "k/x", "x")
    assert "--yes" in live.fails(2, "content", "delete", "k/")
    assert "cannot be written" in live.fails(2, "content", "download", "k/x", "x/below")


def test_a_remote_gateway_too(live: Live) -> None:
    calls = Contents(live)
    remote = ("--url", calls.address.url, "--token", calls.address.token)
    source = write(live.root / "data", {"a": os.urandom(PIECE_BYTES + 1), "b": b""})
    live.ok("content", "upload", "k", source, *remote)
    said = live.ok("content", "download", "k/", "copy", *remote)
    assert tree(live.root / "copy") == tree(source)
    assert "2 files downloaded" in said.err
    assert "token" in live.fails(5, "content", "list", "--url", calls.address.url, "--token", "x.y.z")


PROGRAM = """
from urllib.request import Request, urlopen
given = message()
url = f"{given['apiEndpoint']}/fabric/v4/projects/{given['projectId']}/content/jobs/out"
head = {"Authorization": f"Bearer {given['token']}"}
urlopen(Request(url, data=b"made by a job", headers=head, method="POST")).read()
print(urlopen(Request(url.replace("jobs/out", "in"), headers=head)).read().decode(), end="")
"""


def test_a_program_finds_the_content_of_its_project(live: Live) -> None:
    live.skill("uses", PROGRAM)
    live.ok("content", "upload", "in", "-", stdin="for a job")
    assert live.invoke("uses")["response"] == "for a job"
    assert live.ok("content", "download", "jobs/out", "-").out == "made by a job"
