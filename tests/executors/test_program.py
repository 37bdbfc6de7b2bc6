"""Which program the local executor runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors import program
from fabric_jobs.executors.base import ProcessSpec


def test_the_command_comes_before_the_dockerfile(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text('ENTRYPOINT ["other"]')
    spec = ProcessSpec(directory=tmp_path, command=("mine", "-x"), arguments=("{}",))
    assert program.find(spec) == ["mine", "-x", "{}"]


def test_the_dockerfile_says_it_otherwise(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text('COPY . /app\nENTRYPOINT ["python3", "/app/main.py"]')
    spec = ProcessSpec(directory=tmp_path, arguments=("{}",))
    assert program.find(spec) == [sys.executable, str(tmp_path / "main.py"), "{}"]


@pytest.mark.parametrize("word", ["/usr/bin/python3", "python2", "pypy"])
def test_another_interpreter_stays_what_it_is(tmp_path: Path, word: str) -> None:
    assert program.find(ProcessSpec(directory=tmp_path, command=(word,)))[0] == word


@pytest.mark.parametrize("dockerfile", [None, "", "FROM python:3.12", "# nothing"])
def test_without_a_program_the_error_says_what_to_write(tmp_path: Path, dockerfile: str | None) -> None:
    if dockerfile is not None:
        (tmp_path / "Dockerfile").write_text(dockerfile)
    with pytest.raises(InvalidInput, match="there is no program") as caught:
        program.find(ProcessSpec(directory=tmp_path))
    assert str(tmp_path / "Dockerfile") in caught.value.message
    assert "ENTRYPOINT" in caught.value.hint


@pytest.mark.parametrize("text", ["", "\n\n", "# requests\n", "   # requests", "\t\n#a\n  \n"])
def test_requirements_that_ask_for_nothing_are_no_obstacle(tmp_path: Path, text: str) -> None:
    (tmp_path / "requirements.txt").write_text(text)
    assert program.find(ProcessSpec(directory=tmp_path, command=("true",))) == ["true"]


def test_requirements_are_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("# our own\nrequests[socks]>=2  # web\ngit+https://x/y#egg=z\n")
    with pytest.raises(InvalidInput, match="asks for ") as caught:
        program.find(ProcessSpec(directory=tmp_path, command=("true",)))
    assert "requests[socks]>=2, git+https://x/y#egg=z" in caught.value.message
    assert caught.value.hint


def test_a_dockerfile_that_is_no_text_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_bytes(b"\xff\xfe\0")
    (tmp_path / "requirements.txt").write_bytes(b"\xff")
    with pytest.raises(InvalidInput, match="there is no program"):
        program.find(ProcessSpec(directory=tmp_path))
