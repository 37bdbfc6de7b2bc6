"""Chunks of items: what a submission asks for, in order, from any position on, with errors that say where."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.errors import InvalidInput
from fabric_jobs.sources import items
from fabric_jobs.sources.items import ItemChunk, chunks
from fabric_jobs.sources.source import source_from_json, source_of, stored_source

BEGINNING = "{}"


def delimited(*paths: Path | str, **more: Any) -> dict[str, Any]:
    """Return a block that reads files."""
    return {"delimited_files": {"s3_paths": [str(path) for path in paths], **more}}


def lister(*paths: Path | str, **more: Any) -> dict[str, Any]:
    """Return a block that lists files."""
    return {"file_path_lister": {"s3_paths": [str(path) for path in paths], **more}}


def read(
    block: dict[str, Any], position: str = BEGINNING, *, batch_size: int = 10, batch_bytes: int = 1000
) -> list[ItemChunk]:
    """Return the chunks from a position on."""
    source = source_from_json(block, within=None)
    return list(chunks(source, position, batch_size=batch_size, batch_bytes=batch_bytes))


def payloads(found: list[ItemChunk]) -> list[Any]:
    """Return the items of chunks."""
    assert all(chunk.items.count(b"\n") == chunk.size for chunk in found)
    return [json.loads(line) for chunk in found for line in chunk.items.splitlines()]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a directory with files of every kind."""
    (tmp_path / "1.json").write_text('{"n": 1}\n{"n": 2} {"n": 3}')
    (tmp_path / "2.csv").write_text("n\n4\n5\n")
    (tmp_path / "3.jsonl.gz").write_bytes(gzip.compress(b'{"n": 6}\n\n') + gzip.compress(b'{"n": 7}\n'))
    (tmp_path / "4.CSV.GZ").write_bytes(gzip.compress(b"n\r\n8\r\n"))
    (tmp_path / "5.json").write_text("")
    (tmp_path / "6").write_text('{\n "n": 9\n}\n')
    return tmp_path


def test_files_are_read_as_their_names_say(tree: Path) -> None:
    found = read(delimited(tree))
    assert [int(item["n"]) for item in payloads(found)] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert [chunk.position for chunk in found][-1] is None


def test_the_block_can_say_how_files_are_read(tree: Path) -> None:
    (tree / "table").write_bytes(gzip.compress(b"a\n1\n"))
    assert payloads(read(delimited(tree / "table", format="csv", compression="gzip"))) == [{"a": "1"}]
    assert payloads(read(delimited(tree / "6", format="json", compression="none"))) == [{"n": 9}]


def test_the_names_of_files_are_items(tree: Path) -> None:
    found = read(lister(f"file://{tree}/", includes=["**.json", "**.gz"], excludes=["**/5*"]))
    assert payloads(found) == [f"file://{tree}/1.json", f"file://{tree}/3.jsonl.gz"]
    assert payloads(read(lister(tree, includes=["*.json"]))) == []


def test_a_file_of_two_paths_comes_twice(tree: Path) -> None:
    assert payloads(read(lister(tree / "6", tree, tree / "6", includes=["**/6"]))) == [f"{tree}/6"] * 3
    assert payloads(read(delimited(tree / "6", tree / "6"))) == [{"n": 9}, {"n": 9}]


@pytest.mark.parametrize("of", [delimited, lister])
def test_any_position_is_a_place_to_go_on(tree: Path, monkeypatch: pytest.MonkeyPatch, of: Any) -> None:
    monkeypatch.setattr(items, "CHUNK_ITEMS", 1)
    block = of(tree, tree / "6", excludes=["**/5.json"])
    found = read(block)
    assert len(found) > 5
    for number, chunk in enumerate(found[:-1], 1):
        assert chunk.position is not None
        assert payloads(read(block, chunk.position)) == payloads(found[number:])


def test_a_position_is_good_for_the_file_as_it_was(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "CHUNK_ITEMS", 1)
    block = delimited(tree / "1.json")
    position = read(block)[0].position
    assert position is not None
    (tree / "1.json").write_text('{"n": 100}\n{"n": 200}')
    with pytest.raises(InvalidInput, match=r"1\.json has changed, or was deleted"):
        read(block, position)
    (tree / "1.json").unlink()
    (tree / "2.json").write_text("1")
    with pytest.raises(InvalidInput, match=r"1\.json has changed, or was deleted"):
        read(delimited(tree), position)


@given(sizes=st.lists(st.integers(1, 30), max_size=30), batch_size=st.integers(1, 6), limit=st.integers(40, 120))
def test_a_batch_over_the_limit_is_refused_wherever_chunks_end(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], batch_size: int, limit: int
) -> None:
    path = tmp_path_factory.mktemp("sizes") / "x.json"
    values = ["x" * size for size in sizes]
    path.write_text("\n".join(map(json.dumps, values)))
    slices = [values[at : at + batch_size] for at in range(0, len(values), batch_size)]
    fits = all(len(json.dumps(some, separators=(",", ":"))) <= limit for some in slices)
    if fits:
        assert payloads(read(delimited(path), batch_size=batch_size, batch_bytes=limit)) == values
        return
    with pytest.raises(InvalidInput, match=r"x\.json: item \d+: the batch that it is in has at least"):
        read(delimited(path), batch_size=batch_size, batch_bytes=limit)


def test_the_size_of_a_batch_is_known_behind_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "CHUNK_ITEMS", 1)
    (tmp_path / "x.json").write_text('"12345678" "12345678" "12345678"')
    source = source_from_json(delimited(tmp_path / "x.json"), within=None)
    first = next(chunks(source, BEGINNING, batch_size=3, batch_bytes=30))
    assert first.position is not None
    with pytest.raises(InvalidInput, match="item 2: the batch"):
        read(delimited(tmp_path / "x.json"), first.position, batch_size=3, batch_bytes=30)


@pytest.mark.parametrize(("name", "data", "words"), [
    ("x.json", b'{"a": 1}\n{"a": 2}\n{"a": oops}\n', r"x\.json: item 2: it is not JSON"),
    ("x.json", b'1 2 {"a": ', r"x\.json: item 2: the file ends in the middle"),
    ("x.csv", b"a,b\n1,2\n3\n", r"x\.csv: item 1: it has 1 fields"),
    ("x.json.gz", b"not packed", r"x\.json\.gz: item 0: it is not gzip"),
    ("x.json.gz", gzip.compress(b"1 " * 3000, mtime=0)[:-9], r"x\.json\.gz: item \d+: the file ends"),
    ("x.json", b'"' + b"x" * 2000 + b'"', r"x\.json: item 0: it is longer than 1,000 bytes.*FABRIC_JOBS_BATCH_BYTES"),
])  # fmt: skip
def test_an_error_names_file_and_item(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    (tmp_path / "good.json").write_text("1 2 3")
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InvalidInput, match=words):
        read(delimited(tmp_path / "good.json", tmp_path / name), batch_size=1)


def test_a_position_of_an_error_is_behind_the_good_items(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("1 2 oops")
    source = source_from_json(delimited(tmp_path / "x.json"), within=None)
    with pytest.raises(InvalidInput):
        next(chunks(source, BEGINNING, batch_size=1, batch_bytes=100))


@pytest.mark.parametrize(("block", "words"), [
    ({}, "file_path_lister or delimited_files"),
    ({"delimited_files": []}, "file_path_lister or delimited_files"),
    (delimited(), "delimited_files: s3_paths: at least 1"),
    (lister("x://y"), "file_path_lister: s3_paths: 'x://y'"),
    (lister("s3:/b"), "file_path_lister: s3_paths: 's3:/b' is a relative path"),
    (lister("/x", includes=["["]), r"file_path_lister: includes: '\[': a class is not closed"),
    (lister("/x", excludes=["ok", "[z-a]"]), r"excludes: '\[z-a\]': the range"),
    (lister("/x", includes="**"), "includes: it must be a list"),
    (lister("/x", includes=[1]), "includes: it must be a list"),
    ({"delimited_files": {"s3_paths": "/x"}}, "s3_paths: it must be a list"),
    (delimited("/x", format="xml"), "format: it must be json or csv"),
    (delimited("/x", compression="zip"), "compression: it must be none or gzip"),
])  # fmt: skip
def test_a_source_that_cannot_be_meant_is_refused(block: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        source_from_json(block, within=None)


def test_what_is_stored_says_the_same(tree: Path) -> None:
    asked = lister("*.json", "s3://bucket/x", batch_size=3, includes=["**"])
    for within in (None, [tree]):
        source = source_from_json(asked, within=within, base=tree)
        stored = stored_source(source, asked)
        assert json.loads(json.dumps(stored)) == stored
        assert stored["file_path_lister"]["s3_paths"] == [f"{tree}/*.json", "s3://bucket/x"]
        again = source_of(stored, within=[tree], endpoint="http://store")
        assert (again.block, again.within, again.endpoint) == (source.block, source.within, "http://store")
        assert [path[1:] for path in again.paths] == [path[1:] for path in source.paths]
    forged = {**lister("/etc/hosts"), "anywhere": True}
    assert stored_source(source_from_json(forged, within=[]), forged)["anywhere"] is False


def test_all_that_is_listed_can_be_shown(tree: Path) -> None:
    source = source_from_json(lister(tree, tree / "6", excludes=["**.gz", "**.GZ"]), within=None)
    assert [file.name for file in source.listed()] == [
        f"{tree}/{name}" for name in ("1.json", "2.csv", "5.json", "6", "6")
    ]


READER = """
import resource, sys
from fabric_jobs.sources.items import chunks
from fabric_jobs.sources.source import source_from_json
source = source_from_json({"delimited_files": {"s3_paths": [sys.argv[1]]}}, within=None)
count = sum(chunk.size for chunk in chunks(source, "{}", batch_size=100, batch_bytes=1 << 18))
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_a_file(tmp_path: Path) -> None:
    line = json.dumps({"key": "value", "list": list(range(200)), "text": "x" * 200}).encode() + b"\n"
    seen = []
    for count in (8_000, 80_000):  # 9 MB, 90 MB
        path = tmp_path / f"{count}.json.gz"
        path.write_bytes(gzip.compress(line * 1000, 1) * (count // 1000))
        done = subprocess.run([sys.executable, "-c", READER, path], capture_output=True, text=True, check=True)
        found, kilobytes = map(int, done.stdout.split())
        assert found == count
        seen.append(kilobytes)
    assert seen[1] < seen[0] + 8_000, seen
