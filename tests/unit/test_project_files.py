"""Which files of a project are sent with its API file."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fabric_jobs.client.project_files import collected
from fabric_jobs.errors import InvalidDefinition, InvalidInput, RecordTooLarge
from fabric_jobs.runtime.cortex_command.files import ProjectFile, ProjectFiles, check_size, form, pack, project_files
from fabric_jobs.runtime.cortex_command.refused import Refused

LIMIT = 1 << 20


def project(root: Path, *names: str, ignored: str | None = None) -> Path:
    """Write files with their names as content; return the path of the API file."""
    for name in ("cortex.yaml", *names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    if ignored is not None:
        (root / ".cortexignore").write_text(ignored)
    return root / "cortex.yaml"


def sent(root: Path, *names: str, ignored: str | None = None) -> list[str]:
    """Return the names of the files that are sent."""
    return [file.name for file in collected(project(root, *names, ignored=ignored), LIMIT).files]


def test_everything_beside_the_api_file_is_sent(tmp_path: Path) -> None:
    names = ["data/a.csv", "handler.py", "other.yaml", "requirements.txt", "sub/cortex.yaml", "sub/deep/x"]
    assert sent(tmp_path, *names) == names


def test_what_is_always_left_out(tmp_path: Path) -> None:
    left_out = [
        ".git/config",
        ".hidden",
        "sub/.hidden/x",
        "cortex-debug-1.zip",
        "cortex-debug-x/y",
        "__pycache__/handler.cpython-312.pyc",
        "sub/__pycache__/z",
        "a.pyc",
        "b.pyo",
        "c.pyd",
    ]
    assert sent(tmp_path, "handler.py", *left_out) == ["handler.py"]


def test_the_environment_file_of_the_root_is_sent_whatever_is_ignored(tmp_path: Path) -> None:
    assert sent(tmp_path, ".env", "sub/.env", "x.py", ignored=".env\n*\n") == [".env"]


@pytest.mark.parametrize(
    ("ignored", "wanted"),
    [
        ("*.csv\n", ["a.py", "sub/b.py"]),
        ("*.csv\n!c.csv\n", ["a.py", "c.csv", "sub/b.py"]),
        ("sub/\n", ["a.py", "c.csv"]),
        ("/a.py\n", ["c.csv", "sub/b.csv", "sub/b.py"]),
        ("sub/*\n!sub/b.py\n", ["a.py", "c.csv", "sub/b.py"]),
        ("sub\n!sub/b.py\n", ["a.py", "c.csv"]),  # what is below an ignored directory is never looked at
        ("**/b.*\n", ["a.py", "c.csv"]),
        ("# a comment\n\n   \nsub/b.cs[v]\n", ["a.py", "c.csv", "sub/b.py"]),
        ("\\!a.py\n", ["a.py", "c.csv", "sub/b.csv", "sub/b.py"]),
    ],
)
def test_an_ignore_file_has_the_syntax_of_gitignore(tmp_path: Path, ignored: str, wanted: list[str]) -> None:
    assert sent(tmp_path, "a.py", "c.csv", "sub/b.csv", "sub/b.py", ignored=ignored) == wanted


WORDS = ["a", "b", "*", "**", "?", "*.c", "[ab]", "a.c", "d", "e", "d/e", "\\a"]
PATTERNS = st.builds(
    lambda negated, rooted, words, directory: f"{negated}{rooted}{'/'.join(words)}{directory}",
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/"]),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
    st.sampled_from(["", "", "/"]),
).filter(lambda pattern: not pattern.endswith("**/"))  # the library reads this one differently


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.lists(PATTERNS, max_size=4))
def test_an_ignore_file_means_what_it_means_to_git(tmp_path: Path, patterns: list[str]) -> None:
    names = ["a", "a.c", "b", "d/a", "d/b.c", "d/e/a", "d/e/a.c", "e/a", "e/d/e/b"]
    root = tmp_path / "project"
    got = sent(root, *names, ignored="\n".join(patterns))
    if not (root / ".git").exists():
        subprocess.run(["git", "init", "-q", root], check=True)
    listing = ["git", "-C", str(root), "ls-files", "--others", "--exclude-from=.cortexignore"]
    listed = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split()
    assert got == sorted(name for name in listed if name not in ("cortex.yaml", ".cortexignore")), patterns


def test_only_the_ignore_file_of_the_root_counts(tmp_path: Path) -> None:
    names = ("sub/a.py", "sub/.cortexignore")
    project(tmp_path, *names)
    (tmp_path / "sub" / ".cortexignore").write_text("*\n")
    assert sent(tmp_path) == ["sub/a.py"]


def test_a_wrong_pattern_is_told_with_its_line(tmp_path: Path) -> None:
    config = project(tmp_path, "a.py", ignored="*.csv\n!\n")
    with pytest.raises(InvalidDefinition) as caught:
        collected(config, LIMIT)
    (problem,) = caught.value.problems
    assert problem.line == 2
    assert problem.file.endswith(".cortexignore")


def test_a_project_in_a_hidden_directory_is_a_project(tmp_path: Path) -> None:
    assert sent(tmp_path / ".cortex" / "deployments" / "x", "task.py") == ["task.py"]


def test_links_to_files_are_sent_as_files_and_others_are_left_out(tmp_path: Path) -> None:
    config = project(tmp_path / "p", "a.py", "sub/b.py")
    (tmp_path / "p" / "link.py").symlink_to("a.py")
    (tmp_path / "p" / "loop").symlink_to(".")
    os.mkfifo(tmp_path / "p" / "pipe")
    found = collected(config, LIMIT)
    assert [file.name for file in found.files] == ["a.py", "link.py", "sub/b.py"]
    assert found.skipped == ("loop", "pipe")
    (tmp_path / "p" / "broken").symlink_to("nowhere")
    with pytest.raises(InvalidInput, match="broken"):
        collected(config, LIMIT)


def test_limits_of_a_file_and_of_all(tmp_path: Path) -> None:
    config = project(tmp_path, "a", "b", ".env")
    for name, size in (("a", 60), ("b", 40), (".env", 500)):
        (tmp_path / name).write_bytes(b"x" * size)
    assert len(collected(config, 500).files) == 3
    (tmp_path / ".env").write_bytes(b"x" * 50)  # it does not count
    assert collected(config, 100).size == 100
    with pytest.raises(RecordTooLarge, match=r"the project has 100 bytes.* a \(60\), b \(40\)") as caught:
        collected(config, 99)
    assert "FABRIC_JOBS_PROJECT_BYTES" in caught.value.hint
    with pytest.raises(RecordTooLarge, match="a has 60 bytes"):
        collected(config, 59)
    for limit, kind in ((99, "files.project_size_limit"), (59, "files.file_size_limit")):
        with pytest.raises(Refused) as refused:
            check_size(project_files(str(config)), limit)
        assert refused.value.kind == kind


def test_a_home_directory_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InvalidInput, match="far more than one project"):
        collected(project(tmp_path, "a.py"), LIMIT)
    assert sent(tmp_path / "project", "a.py") == ["a.py"]


def packed(files: ProjectFiles) -> bytes:
    """Return the archive of a project."""
    target = io.BytesIO()
    pack(files, target)
    return target.getvalue()


def test_equal_files_make_equal_archives(tmp_path: Path) -> None:
    first = collected(project(tmp_path / "one", "a.py", "sub/b.py"), LIMIT)
    other = collected(project(tmp_path / "two", "sub/b.py", "a.py"), LIMIT)
    os.utime(tmp_path / "two" / "a.py", (1, 1))
    assert packed(first) == packed(other)
    (tmp_path / "two" / "a.py").chmod(0o755)
    assert packed(first) != packed(other)
    with zipfile.ZipFile(io.BytesIO(packed(other))) as archive:
        assert archive.namelist() == ["a.py", "sub/b.py"]
        assert archive.read("sub/b.py") == b"sub/b.py"
        assert archive.getinfo("a.py").external_attr >> 16 & 0o777 == 0o755


def test_a_name_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    config = project(tmp_path, "a.py")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.py")).write_text("")
    except OSError:
        pytest.skip("this file system has no such names")
    with pytest.raises(Refused, match="not UTF-8"):
        packed(collected(config, LIMIT))


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    gone = ProjectFiles((ProjectFile("a.py", str(tmp_path / "a.py"), 1),), ())
    with pytest.raises(Refused, match=r"a\.py cannot be read: No such file"):
        packed(gone)


@given(config=st.binary(max_size=99), archive=st.none() | st.binary(max_size=99))
def test_a_form_has_the_announced_length(config: bytes, archive: bytes | None) -> None:
    kind, size, parts = form(config, None if archive is None else io.BytesIO(archive))
    whole = b"".join(parts)
    assert len(whole) == size
    assert whole.count(kind.partition("boundary=")[2].encode()) == (2 if archive is None else 3)
