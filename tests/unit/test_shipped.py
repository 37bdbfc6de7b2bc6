"""Output that arrives in parts: repeated, overlapping and late ones make no difference."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs import whole_file
from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.attempt_files import shipped

PARTS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), max_size=30)


@given(st.binary(max_size=60), PARTS)
def test_what_is_there_is_always_the_beginning_of_what_was_printed(
    printed: bytes, parts: list[tuple[int, int]]
) -> None:
    with TemporaryDirectory() as name:
        directory, known = Path(name), 0
        (directory / "stdout").touch()
        for offset, size in parts:
            part = printed[offset : offset + size]
            if offset > known:
                with pytest.raises(InvalidInput, match=f"has {known} bytes"):
                    shipped.take(directory, "stdout", offset, part)
            else:
                known = max(known, offset + len(part))
                assert shipped.take(directory, "stdout", offset, part) == known
            assert (directory / "stdout").read_bytes() == printed[:known]


def test_only_the_two_streams_are_taken(tmp_path: Path) -> None:
    for stream in ("../stdout", "exit", ""):
        with pytest.raises(InvalidInput, match="not one of stdout, stderr"):
            shipped.take(tmp_path, stream, 0, b"x")
    assert list(tmp_path.iterdir()) == []


def test_what_has_arrived_is_durable_before_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[str, bool]] = []
    monkeypatch.setattr(
        whole_file,
        "sync",
        lambda *paths: synced.extend((path.name, (tmp_path / shipped.WHOLE).exists()) for path in paths),
    )
    shipped.take(tmp_path, "stdout", 0, b"text")
    assert synced == []
    shipped.take(tmp_path, "stdout", 4, b"")
    assert synced == [("stdout", False)]
    shipped.finish(tmp_path)
    assert synced[1:3] == [("stdout", False), ("stderr", False)]
    assert (tmp_path / shipped.WHOLE).exists()
