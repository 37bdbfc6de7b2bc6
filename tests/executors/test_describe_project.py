"""The project of an API's class in the configuration of its container."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path

from fabric_jobs.executors.base import AttemptSpec, ProcessSpec
from fabric_jobs.executors.docker import describe
from tests.executors.test_describe import AROUND, FILES, IMAGE


def test_a_project_is_mounted_and_its_program_starts_there(tmp_path: Path) -> None:
    process = ProcessSpec(directory=tmp_path, image="i:1", command=("python", "-m", "cortex_worker"), is_project=True)
    made = describe.container(AttemptSpec(name="a-1", processes=(process,)), IMAGE, FILES, AROUND)
    assert made["WorkingDir"] == describe.PROJECT_INSIDE
    (mount,) = [each for each in made["HostConfig"]["Mounts"] if each["Target"] == describe.PROJECT_INSIDE]
    assert (mount["Source"], mount["ReadOnly"]) == (str(tmp_path), True)
    other = describe.container(
        AttemptSpec(name="a-1", processes=(replace(process, is_project=False),)), IMAGE, FILES, AROUND
    )
    assert "WorkingDir" not in other


def test_an_engine_that_does_not_see_this_disk_gets_the_project_in_an_archive(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "helper.py").write_text("NAME = 1")
    (tmp_path / "lib").chmod(0o700)
    with tarfile.open(fileobj=io.BytesIO(describe.archive({}, tmp_path))) as archive:
        entries = {f"/{entry.name}": entry.mode & 0o005 for entry in archive if "project" in entry.name}
        helper = archive.extractfile(f"{describe.PROJECT_INSIDE.lstrip('/')}/lib/helper.py")
        assert helper is not None
        assert helper.read() == b"NAME = 1"
    inside = describe.PROJECT_INSIDE
    assert entries == {inside: 0o005, f"{inside}/lib": 0o005, f"{inside}/lib/helper.py": 0o004}
