"""Content in the care of `state`: size, check, prune, backup, and a disk that is full."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs.blobs import PIECE_BYTES
from tests.acceptance.live import Live, until
from tests.archives import unpack
from tests.buckets import bucket_server
from tests.gateway.test_content import Contents


@pytest.fixture(autouse=True)
def patient(live: Live) -> None:
    """Let an owner started by one command stay for the next, however slow the machine is."""
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "120"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a file system of 8 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    if os.system(f"mount -t tmpfs -o size=8m tmpfs {place} 2>/dev/null"):
        pytest.skip("a file system cannot be mounted here")
    yield place
    until(lambda: os.system(f"umount {place} 2>/dev/null") == 0, "nobody uses the file system")


def file_of(calls: Contents, digest: str) -> Path:
    return calls.root / digest[:2] / digest


def test_what_no_key_refers_to_is_pruned(live: Live) -> None:
    calls = Contents(live)
    kept, gone = calls.put("kept", b"k" * 1000), calls.put("gone", b"g" * 500)
    calls.put("twice", b"k" * 1000)
    calls.ask("DELETE", "/gone")
    calls.ask("DELETE", "/twice")
    size = live.ok("state", "size", "--output", "json").value
    assert size["content"] == {"bytes": 1500, "keys": 1, "used": 1000}
    assert "1.5kB for 1 key, of which no key refers to 500B" in live.ok("state", "size").out
    assert "500B of content to delete" in live.ok("state", "prune", "--content", "--dry-run").err
    assert file_of(calls, gone["sha256"]).exists()
    assert "--yes" in live.fails(2, "state", "prune", "--content")
    assert "500B of content" in live.ok("state", "prune", "--content", "--yes").err
    assert not file_of(calls, gone["sha256"]).exists()
    assert "nothing to delete" in live.ok("state", "prune", "--content", "--yes").err
    assert calls.ask("GET", "/kept")[2] == b"k" * 1000
    calls.put("kept", b"new")
    live.skill("echo", "print(message()['payload'], end='')")
    for _ in range(2):
        live.invoke("echo")
    said = live.ok("state", "prune", "--keep-last", "1", "--yes").err
    assert "Deleted 1 activation and 1.0kB of content" in said
    assert not file_of(calls, kept["sha256"]).exists()
    assert calls.ask("GET", "/kept")[2] == b"new"


def test_a_check_reads_all_bytes(live: Live) -> None:
    calls = Contents(live)
    data = bytes(PIECE_BYTES + 1)
    digests = {key: calls.put(key, key.encode() + data)["sha256"] for key in ("good", "cut", "changed", "missing")}
    counts = live.ok("state", "check", "--output", "json").value["counts"]
    assert counts["content"] == 4
    file_of(calls, digests["cut"]).write_bytes(b"cut")
    file_of(calls, digests["changed"]).write_bytes(b"changeD" + data)
    file_of(calls, digests["missing"]).unlink()
    ran = live.run("state", "check")
    assert ran.code == 1
    for key, why in (("cut", "it has 3 bytes"), ("changed", "its bytes differ"), ("missing", "there is no file")):
        assert f"Wrong: content '{key}' of project local: " in ran.out
        assert why in ran.out
    assert "'good'" not in ran.out


@pytest.mark.parametrize("archive", [True, False])
def test_a_backup_has_the_content_that_keys_refer_to(live: Live, archive: bool) -> None:
    calls = Contents(live)
    data = os.urandom(2 * PIECE_BYTES + 1)
    calls.put("a/b", data)
    calls.put("same", data)
    calls.put("a/b/gone", b"gone")
    calls.ask("DELETE", "/a/b/gone")
    copy = Live(live.root.parent / "other")
    target = copy.root / "copy.tar.gz" if archive else copy.state
    assert "1 other file." in live.ok("state", "backup", target).err
    if archive:
        unpack(target, copy.state)
    calls.put("a/b", b"changed after the backup")
    calls.ask("DELETE", "/same")
    live.ok("state", "prune", "--content", "--yes")
    copied = Contents(copy)
    assert copied.ask("GET", "/a/b")[2] == copied.ask("GET", "/same")[2] == data
    assert copy.ok("state", "check", "--output", "json").value["healthy"] is True
    copy.close()


def test_content_in_a_bucket_is_used_and_looked_after_alike(live: Live, tmp_path: Path) -> None:
    with bucket_server("shop") as server:
        live.environment |= {**server.variables, "FABRIC_JOBS_CONTENT_URL": "s3://shop/content"}
        calls = Contents(live)
        data = os.urandom(3 * PIECE_BYTES + 1)
        digest = calls.put("x/y", data)["sha256"]
        calls.put("gone", b"gone")
        calls.ask("DELETE", "/gone")
        assert calls.ask("GET", "/x/y")[2] == data
        assert calls.ask("GET", "/x/y", range="bytes=-5")[2] == data[-5:]
        assert calls.is_empty()
        assert f"0B for 1 key, and {len(data) / 1e6:.1f}MB in a bucket" in live.ok("state", "size").out
        assert live.ok("state", "check", "--output", "json").value["healthy"] is True
        live.skill("echo", "print(message()['payload'], end='')")
        for _ in range(2):
            live.invoke("echo")
        live.ok("state", "prune", "--keep-last", "1", "--yes")
        assert len(server.keys()) == 2  # a list costs money
        assert "4B of content" in live.ok("state", "prune", "--content", "--yes").err
        assert {*server.keys()} == {f"content/{digest[:2]}/{digest}", "content/fabric-jobs-owner"}
        copy = Live(live.root.parent / "other")
        copy.environment |= live.environment
        live.ok("state", "backup", copy.state)
        assert Contents(copy).ask("GET", "/x/y")[2] == data
        Contents(copy).ask("DELETE", "/x/y")
        assert "another gateway" in copy.fails(5, "state", "prune", "--content", "--yes")
        copy.close()
        server.delete(f"content/{digest[:2]}/{digest}")
        assert calls.ask("GET", "/x/y")[0] == 500
        assert "its object is missing" in live.run("state", "check").out
        live.close()
    live.environment["FABRIC_JOBS_CONTENT_URL"] = "gs://x/y"
    assert "s3://BUCKET/PREFIX" in live.fails(5, "content", "list")
    assert "s3://BUCKET/PREFIX" in live.fails(2, "serve")


def test_a_full_disk_refuses_an_upload_and_keeps_the_rest(live: Live, small_disk: Path) -> None:
    live.state = small_disk / "state"
    live.environment["FABRIC_JOBS_STATE_DIR"] = str(live.state)
    try:
        calls = Contents(live)
        calls.put("x", b"old")
        status, _, said = calls.ask("POST", "/x", bytes(16 << 20))
        assert status == 503
        assert b"No space left" in said
        assert calls.ask("GET", "/x")[2] == b"old"
        assert not list((calls.root / "incoming").iterdir())
        calls.put("x", bytes(PIECE_BYTES))
        assert len(calls.ask("GET", "/x")[2]) == PIECE_BYTES
    finally:
        live.close()
