"""A state directory and its content belong to their user, and its address is valid only there."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fabric_jobs import state_dir as places
from fabric_jobs.state_dir import Address

needs_another_user = pytest.mark.skipif(os.getuid() != 0, reason="only root can make what another user owns")


def address(state_dir: Path) -> Address:
    return Address(pid=1, url="", socket=str(places.socket_path(state_dir)), token="t", version="")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_directory_that_was_made_beforehand_is_closed_with_its_files(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for name in ("state.db", "state.db-wal", "owner.log"):
        (tmp_path / name).touch(0o644)
    (tmp_path / "door").mkdir()
    (tmp_path / "door").chmod(0o755)
    (tmp_path / "attempts").mkdir(0o755)
    (tmp_path / "else").symlink_to("/etc/passwd")
    before = mode(Path("/etc/passwd"))
    places.make(tmp_path)
    assert mode(tmp_path) == 0o700
    assert [mode(tmp_path / name) for name in ("state.db", "state.db-wal", "owner.log")] == [0o600] * 3
    assert mode(tmp_path / "attempts") == 0o700
    assert (mode(tmp_path / "door"), mode(Path("/etc/passwd"))) == (0o755, before)


def test_a_new_directory_ignores_itself_in_git(tmp_path: Path) -> None:
    for name in ("new", ".fabric-jobs"):
        places.make(tmp_path / name)
        assert (tmp_path / name / ".gitignore").read_text() == "*\n"


def test_one_that_was_made_by_an_older_version_does_too(tmp_path: Path) -> None:
    usual = tmp_path / ".fabric-jobs"
    usual.mkdir()
    (usual / "state.db").touch()
    places.make(usual)
    assert (usual / ".gitignore").read_text() == "*\n"


def test_a_directory_with_files_of_its_user_is_not_ignored(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    places.make(tmp_path)
    assert not (tmp_path / ".gitignore").exists()


def test_a_gitignore_that_is_there_stays(tmp_path: Path) -> None:
    usual = tmp_path / ".fabric-jobs"
    usual.mkdir()
    (usual / ".gitignore").write_text("state.db\n")
    places.make(usual)
    assert (usual / ".gitignore").read_text() == "state.db\n"


def test_a_directory_that_all_share_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(PermissionError, match="all users share"):
        places.make(tmp_path)
    assert mode(tmp_path) == 0o1777


def test_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with places.private_files():
            (tmp_path / "file").touch()
            (tmp_path / "directory").mkdir()
            assert places.programs_umask() == 0
        with open(tmp_path / "opened", "w", opener=places.private_opener):
            pass
        assert places.programs_umask() == 0
        assert os.umask(0) == 0
    finally:
        os.umask(before)
    assert [mode(tmp_path / name) for name in ("file", "directory", "opened")] == [0o600, 0o700, 0o600]


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "owner.log").symlink_to(tmp_path / "else")
    with pytest.raises(OSError, match="symbolic links"):
        places.private_opener(str(tmp_path / "owner.log"), os.O_WRONLY | os.O_CREAT)
    assert not (tmp_path / "else").exists()


def test_an_address_is_good_in_its_own_directory_only(tmp_path: Path) -> None:
    first, copy = tmp_path / "first", tmp_path / "copy"
    first.mkdir()
    places.write_address(first, address(first))
    assert mode(first / "owner.json") == 0o600
    assert places.read_address(first) is not None
    shutil.copytree(first, copy)
    assert places.read_address(copy) is None
    (tmp_path / "link").symlink_to(first)
    assert places.read_address(tmp_path / "link") is not None
    first.rename(tmp_path / "moved")
    assert places.read_address(tmp_path / "moved") is None  # its owner will notice, and end
    copy.rename(first)
    assert places.read_address(first) is None
    assert places.read_address(tmp_path / "moved") is None


# A path that is too long for a socket


@pytest.fixture
def deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a state directory whose path is too long for a socket, with its own directory for sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp") as shared:
        monkeypatch.setattr(tempfile, "tempdir", shared)
        directory = tmp_path / ("d" * 100)
        directory.mkdir()
        yield directory


def test_its_socket_is_in_a_private_directory_that_is_kept(deep: Path) -> None:
    path = places.make_socket_path(deep)
    assert path.parent.parent == Path(tempfile.gettempdir())
    assert len(os.fsencode(path)) <= places.SOCKET_PATH_LIMIT
    assert mode(path.parent) == 0o700
    assert places.socket_path(deep) == places.make_socket_path(deep) == path
    shutil.rmtree(path.parent)  # as if the temporary directory were swept
    assert places.make_socket_path(deep) == path
    assert mode(path.parent) == 0o700


def link(path: Path) -> None:
    (path.parent / "target").mkdir(mode=0o700, exist_ok=True)
    path.symlink_to(path.parent / "target")


def open_directory(path: Path) -> None:
    path.mkdir()
    path.chmod(0o755)


def of_another(path: Path) -> None:
    path.mkdir(mode=0o700)
    os.chown(path, 65_534, 65_534)


@pytest.mark.parametrize(
    "squat", [link, open_directory, Path.touch, pytest.param(of_another, marks=needs_another_user)]
)
def test_a_name_that_somebody_squats_is_left_for_another(deep: Path, squat: Callable[[Path], None]) -> None:
    usual = places.socket_path(deep).parent
    squat(usual)
    path = places.make_socket_path(deep)
    assert path.parent != usual
    assert places.is_private(path.parent)
    assert places.socket_path(deep) == places.make_socket_path(deep) == path
    places.write_address(deep, address(deep))
    assert places.read_address(deep) is not None
    shutil.rmtree(path.parent)
    squat(path.parent)
    assert places.read_address(deep) is None  # whoever listens there would get the token


def test_a_copy_has_a_socket_of_its_own(deep: Path) -> None:
    path = places.make_socket_path(deep)
    copy = deep.with_name("e" * 100)
    shutil.copytree(deep, copy)
    assert places.make_socket_path(copy) != path
    deep.rename(deep.with_name("f" * 100))
    assert places.make_socket_path(deep.with_name("f" * 100)) == path
