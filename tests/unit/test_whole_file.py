"""A file is replaced as a whole, or it stays unchanged, with nothing left beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fabric_jobs import whole_file


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_replaced_and_only_its_user_can_read_it(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "kept"
    path.write_text("before")
    path.chmod(0o644)
    whole_file.write(path, "größer", durable=durable)
    assert path.read_bytes() == "größer".encode()
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_replaced_stays_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        whole_file.write(path, b"new")
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_that_somebody_put_in_the_way_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getpid", lambda: 7)
    (tmp_path / "other").write_text("theirs")
    (tmp_path / ".kept.7").symlink_to("other")
    with pytest.raises(OSError, match="symbolic links"):
        whole_file.write(tmp_path / "kept", "new")
    assert (tmp_path / "other").read_text() == "theirs"
