"""Files of this machine: which there are, in which order, and who may read them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.errors import InvalidInput
from fabric_jobs.sources import local
from fabric_jobs.sources.local import LocalFiles
from fabric_jobs.sources.paths import path_of


def files_of(path: str, roots: Sequence[str] | None = None) -> LocalFiles:
    """Return the files of a path."""
    return LocalFiles(path_of(path), roots)


def names(path: str, after: str = "", roots: Sequence[str] | None = None) -> list[str]:
    """Return the names of the files of a path."""
    return [file.name for file in files_of(path, roots).after(after)]


def make(directory: Path, *paths: str) -> list[str]:
    """Make files; return their paths in order."""
    for path in paths:
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(path)
    return sorted(str(directory / path) for path in paths)


TREE = ("a/1.json", "a/2.json", "a-b/1.json", "a.json", "a/deep/er/x", "b", ".hidden", "ä/ö.json")


def test_a_directory_is_listed_in_the_order_of_whole_paths(tmp_path: Path) -> None:
    expected = make(tmp_path, *TREE)
    (tmp_path / "empty").mkdir()
    assert names(str(tmp_path)) == names(f"{tmp_path}/") == expected
    assert names(f"file://{tmp_path}/a") == [f"file://{path}" for path in expected if "/a/" in path]
    assert names(f"{tmp_path}/b") == [f"{tmp_path}/b"]
    for number, path in enumerate(expected, 1):
        assert names(str(tmp_path), path) == expected[number:]


@given(
    known=st.sets(
        st.sampled_from(["a", "b", "c"]).flatmap(lambda d: st.sampled_from([d, f"{d}-/x", f"{d}d/x/y", f"{d}d/z"]))
    )
)
def test_a_listing_goes_on_behind_any_file(tmp_path_factory: pytest.TempPathFactory, known: set[str]) -> None:
    directory = tmp_path_factory.mktemp("walk")
    expected = make(directory, *known)
    for number, path in enumerate(expected, 1):
        assert names(str(directory), path) == expected[number:]
    assert names(str(directory)) == expected


def test_few_names_of_a_large_directory_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "WINDOW", 3)
    expected = make(tmp_path, *(f"{number:02}" for number in range(10)), "05.d/x", "05.d/y")
    assert names(str(tmp_path)) == expected


def test_a_glob_picks_below_its_directory(tmp_path: Path) -> None:
    make(tmp_path, *TREE, "odd[1].json", "odd1.json")
    base = str(tmp_path)
    assert names(f"{base}/a*/*.json") == [f"{base}/a-b/1.json", f"{base}/a/1.json", f"{base}/a/2.json"]
    assert names(f"{base}/**/x") == [f"{base}/a/deep/er/x"]
    assert names(f"{base}/odd[1].json") == [f"{base}/odd[1].json"]  # there is such a file
    assert names(f"{base}/nothing*") == names(f"{base}/a/3*.json") == []


def test_links_and_special_files(tmp_path: Path) -> None:
    make(tmp_path, "data/x", "elsewhere/y")
    (tmp_path / "data" / "file").symlink_to(tmp_path / "elsewhere" / "y")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "broken").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "data" / "pipe")
    assert names(f"{tmp_path}/data") == [f"{tmp_path}/data/file", f"{tmp_path}/data/x"]
    with pytest.raises(InvalidInput, match="neither a file nor a directory"):
        names(f"{tmp_path}/data/pipe")
    with pytest.raises(InvalidInput, match="neither a file nor a directory"):
        names(f"{tmp_path}/nothing")


def test_other_callers_read_only_what_is_allowed(tmp_path: Path) -> None:
    make(tmp_path, "open/x", "secret/y", "open-too/z")
    (tmp_path / "open" / "link").symlink_to(tmp_path / "secret" / "y")
    allowed = [f"{tmp_path}/open"]
    assert names(f"{tmp_path}/open/x", roots=allowed) == [f"{tmp_path}/open/x"]
    for path in ("secret", "secret/y", "open", "open-too", "missing", "open/../secret/y", "s*/y", "open/l*", ""):
        with pytest.raises(InvalidInput, match="may not read"):
            names(f"{tmp_path}/{path}", roots=allowed)
    with pytest.raises(InvalidInput, match="may not read"):
        names(f"{tmp_path}/open/x", roots=[])
    [file] = files_of(f"{tmp_path}/open/x", allowed).after("")
    (tmp_path / "open" / "x").unlink()
    (tmp_path / "open" / "x").symlink_to(tmp_path / "secret" / "y")
    with pytest.raises(InvalidInput, match="may not read"):
        list(files_of(f"{tmp_path}/open/x", allowed).pieces(file, 0))


def test_a_file_is_read_from_any_offset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "PIECE_BYTES", 3)
    (tmp_path / "x").write_bytes(b"0123456789")
    files = files_of(f"{tmp_path}/x")
    [file] = files.after("")
    for at in range(11):
        assert b"".join(files.pieces(file, at)) == b"0123456789"[at:]


def test_a_file_that_changes_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "PIECE_BYTES", 3)
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    files = files_of(str(path))
    [file] = files.after("")
    pieces = files.pieces(file, 0)
    assert next(pieces) == b"012"
    os.truncate(path, 4)
    with pytest.raises(InvalidInput, match="changed"):
        list(pieces)
    with pytest.raises(InvalidInput, match="changed"):
        list(files.pieces(file, 0))
    path.unlink()
    with pytest.raises(InvalidInput, match="cannot be read"):
        list(files.pieces(file, 0))


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff", "wb"):
        pass
    with pytest.raises(InvalidInput, match="UTF-8"):
        names(str(tmp_path))


@pytest.mark.parametrize(("text", "words"), [
    ("", "names no file"),
    ("s3://", "names no bucket"),
    ("s3:///key", "names no bucket"),
    ("s3://b!/key", "names no bucket"),
    ("az://", "names no container"),
    ("http://example.com/x", "not a path"),
    ("file://host/x", "names no file"),
    ("/a\0b", "names no file"),
    ("relative/x", "relative"),
])  # fmt: skip
def test_a_path_that_cannot_be_meant_is_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        path_of(text)


def test_paths_are_read() -> None:
    assert path_of("s3://bucket")[1:] == ("s3://bucket/", "s3", "bucket", "")
    assert path_of("gs://bucket/a//b")[1:] == ("gs://bucket/", "gs", "bucket", "a//b")
    assert path_of("S3://Bucket/x").prefix == "s3://Bucket/"
    assert path_of("data/*.json", Path("/place"))[1:] == ("", "file", "", "/place/data/*.json")
    assert path_of("//x/../y/")[1:] == ("", "file", "", "/y")
    assert path_of("file:///x")[1:] == ("file://", "file", "", "/x")
