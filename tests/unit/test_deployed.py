"""Project files of deployed APIs: what is unpacked, what is refused, what is swept."""

from __future__ import annotations

import os
import stat
import threading
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fabric_jobs import deployed
from fabric_jobs.errors import InvalidInput, PlaceUnavailable, RecordTooLarge

LIMIT = 1 << 20
Member = tuple[str, bytes, int]  # name, content, mode
FILE, PROGRAM = stat.S_IFREG | 0o644, stat.S_IFREG | 0o755


def archive_of(path: Path, *members: Member) -> Path:
    """Write an archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content, mode in members:
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            packed.writestr(member, content, zipfile.ZIP_DEFLATED)
    return path


def kept(directory: Path, *members: Member, limit: int = LIMIT) -> Path:
    """Unpack an archive with these files."""
    return deployed.keep(archive_of(directory / "project.zip", *members), directory / "deployed", limit)


def files_below(directory: Path) -> dict[str, bytes]:
    """Return all files with their contents."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def names_in(directory: Path) -> list[str]:
    """Return the names in a directory, which need not be there."""
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def test_equal_files_have_one_directory(tmp_path: Path) -> None:
    first = kept(tmp_path, ("a.py", b"1", FILE), ("sub/deep/b", b"2", PROGRAM))
    assert files_below(first) == {"a.py": b"1", "sub/deep/b": b"2"}
    assert (first / "sub/deep/b").stat().st_mode & 0o777 == 0o755
    assert (first / "a.py").stat().st_mode & 0o777 == 0o644
    assert first == kept(tmp_path, ("sub/deep/b", b"2", PROGRAM), ("a.py", b"1", FILE), ("sub/", b"", 0))
    others = [
        kept(tmp_path, ("a.py", b"1", PROGRAM), ("sub/deep/b", b"2", PROGRAM)),
        kept(tmp_path, ("a.py", b"2", FILE), ("sub/deep/b", b"2", PROGRAM)),
        kept(tmp_path, ("a.py", b"1", FILE), ("sub/deep/c", b"2", PROGRAM)),
        kept(tmp_path, ("a.py", b"1", FILE)),
        kept(tmp_path),
    ]
    assert len({first, *others}) == 6
    assert sorted(path.name for path in first.parent.iterdir()) == sorted(path.name for path in (first, *others))


NAMES = [
    "../x",
    "/etc/passwd",
    "a/../../x",
    "a//b",
    "./a",
    "a/.",
    "a\nb",
    "a\x7f",
    "x" * 256,
    "..",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        kept(tmp_path, ("good", b"1", FILE), (name, b"2", FILE))
    assert names_in(tmp_path) == ["project.zip"]


@pytest.mark.parametrize(
    "members",
    [
        [("a", b"/etc/passwd", stat.S_IFLNK | 0o777)],
        [("a", b"", stat.S_IFIFO | 0o644)],
        [("a", b"1", FILE), ("a/b", b"2", FILE)],
        [("a/b", b"2", FILE), ("a", b"1", FILE)],
    ],
    ids=["link", "pipe", "a file and a directory", "a directory and a file"],
)
def test_what_is_no_plain_file_is_refused(tmp_path: Path, members: list[Member]) -> None:
    with pytest.raises(InvalidInput):
        kept(tmp_path, *members)
    assert names_in(tmp_path / "deployed") == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="twice"):
        kept(tmp_path, ("a", b"1", FILE), ("a", b"2", FILE))


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "good.zip", ("a", os.urandom(5000), FILE))
    good = path.read_bytes()
    for number, content in enumerate((b"", b"PK", good[:-30], good[:3000] + b"\0" * 100 + good[3100:])):
        broken = tmp_path / f"{number}.zip"
        broken.write_bytes(content)
        with pytest.raises(InvalidInput, match="archive cannot be read"):
            deployed.keep(broken, tmp_path / "deployed", LIMIT)
    assert names_in(tmp_path / "deployed") == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4), st.data())
def test_any_damage_is_refused_or_harmless(tmp_path: Path, changes: list[tuple[int, int]], data: st.DataObject) -> None:
    """No damaged archive raises anything else, or writes outside of its directory."""
    path = archive_of(tmp_path / "project.zip", ("a.py", b"print(1)\n" * 20, FILE), ("sub/b", b"2" * 99, PROGRAM))
    content = bytearray(path.read_bytes())
    for at, value in changes:
        content[at % len(content)] = value
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    with suppress(InvalidInput):
        deployed.keep(path, tmp_path / "deployed", LIMIT)
    assert {entry.name for entry in tmp_path.iterdir()} <= {"deployed", "project.zip"}


def test_limits_count_what_is_unpacked(tmp_path: Path) -> None:
    bomb = ("zeros", b"\0" * 500_000, FILE)
    with pytest.raises(RecordTooLarge, match="at zeros"):
        kept(tmp_path, bomb, limit=499_999)
    assert kept(tmp_path, bomb, (".env", b"A=1", FILE), limit=500_000).is_dir()
    with pytest.raises(RecordTooLarge, match=r"at \.env"):
        kept(tmp_path, (".env", b"x" * (deployed.ENVIRONMENT_BYTES + 1), FILE), limit=10 << 20)
    many = [(str(number), b"", FILE) for number in range(deployed.FILES + 1)]
    with pytest.raises(RecordTooLarge, match="files"):
        kept(tmp_path, *many)


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "deployed").write_text("in the way")
    with pytest.raises(PlaceUnavailable, match="cannot be written"):
        kept(tmp_path, ("a", b"1", FILE))


def aged(paths: Iterable[Path]) -> None:
    """Make directories look as if they had been there for long."""
    for path in paths:
        os.utime(path, (1, 1))


def test_only_what_is_old_and_unused_is_swept(tmp_path: Path) -> None:
    root = tmp_path / "deployed"
    used, old, fresh = (kept(tmp_path, ("a", name, FILE)) for name in (b"used", b"old", b"fresh"))
    (root / "something else").mkdir()
    aged([used, old, root / "something else"])
    assert deployed.sweep(root, lambda path: path == used) == 1
    assert sorted(path.name for path in root.iterdir()) == sorted([used.name, fresh.name, "something else"])
    assert deployed.sweep(tmp_path / "nowhere", lambda path: False) == 0


def test_files_that_are_deployed_again_are_not_swept(tmp_path: Path) -> None:
    path = kept(tmp_path, ("a", b"1", FILE))
    aged([path])
    assert kept(tmp_path, ("a", b"1", FILE)) == path
    assert deployed.sweep(path.parent, lambda path: False) == 0


def test_what_an_earlier_owner_left_is_cleared(tmp_path: Path) -> None:
    path = kept(tmp_path, ("a", b"1", FILE))
    (path.parent / ".partial-1").mkdir()
    (path.parent / ".partial-1" / "x").write_text("x")
    deployed.clear(path.parent)
    assert list(path.parent.iterdir()) == [path]
    deployed.clear(tmp_path / "nowhere")


def test_the_same_files_may_come_at_once(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "project.zip", *((str(number), b"x" * 99, FILE) for number in range(50)))
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(deployed.keep(archive, tmp_path / "deployed", LIMIT)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert list((tmp_path / "deployed").iterdir()) == [found[0]]
    assert len(files_below(found[0])) == 50
