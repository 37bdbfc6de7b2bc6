"""How a shell command gets its arguments, tested with real shells, as containers and local processes run them."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from fabric_jobs.docker.images import Image
from fabric_jobs.executors import program, shell_form
from fabric_jobs.executors.base import ProcessSpec
from fabric_jobs.executors.docker import describe
from fabric_jobs.executors.masking import masked

MESSAGE = '{"a b": "$HOME\'s"}'
IMAGE = Image(entrypoint=(), command=(), environment={}, user="", stop_signal="SIGTERM")


def run(words: tuple[str, ...]) -> tuple[str, str]:
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    return ran.stdout, ran.stderr


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("printf %s", MESSAGE),  # a single command gets the message as its last argument
        ("exec printf %s 2>&1", MESSAGE),
        ("printf %s $(echo x) # a comment", "x"),
        ("echo a | cat", "a\n"),
        ("echo a; echo b", "a\nb\n"),
        ("echo a && echo b", "a\nb\n"),
        ("printf '%s|%s' 'a;b'", f"a;b|{MESSAGE}"),
        ('printf %s "$0" | cat', MESSAGE),
        ('printf %s "$0" "$@"', MESSAGE),
        ('cd / && printf %s "$@"', MESSAGE),
        ('set -e; printf %s "${1}" | cat', MESSAGE),
        ('printf %s "$@"', MESSAGE),
        ("echo a | awk '{print $0}'", "a\n"),
    ],
)
def test_a_shell_command_finds_the_message_where_docker_has_it_in_every_place(
    tmp_path: Path, text: str, printed: str
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM python:3\nCMD {text}\n")
    here = program.find(ProcessSpec(directory=tmp_path, arguments=(MESSAGE,))).words
    image = replace(IMAGE, command=("/bin/sh", "-c", text))
    assert describe.program(ProcessSpec(directory=None, image="i", arguments=(MESSAGE,)), image) == here
    assert run(here) == (printed, "")


def test_an_error_of_the_shell_does_not_begin_with_the_message(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("CMD no-such-program | cat\n")
    found = program.find(ProcessSpec(directory=tmp_path, arguments=(MESSAGE,)))
    _, error = run(found.words)
    assert error.startswith("sh: ")
    assert "no-such-program" in error
    assert MESSAGE not in error
    assert found.remarks == (shell_form.LOST,)


def test_a_command_that_takes_the_message_is_not_remarked(tmp_path: Path) -> None:
    for text in ("python x.py", 'a; b "$1"', 'a | b "$0"'):
        (tmp_path / "Dockerfile").write_text(f"CMD {text}\n")
        assert program.find(ProcessSpec(directory=tmp_path, arguments=(MESSAGE,))).remarks == ()


@pytest.mark.parametrize(
    ("words", "at"),
    [
        (("sh", "-c", "x"), 2),
        (("/bin/bash", "-o", "pipefail", "-c", "x"), 4),
        (("tini", "--", "bash", "-ec", "x", "name"), 4),
        (("bash", "run.sh", "-c", "x"), None),
        (("python", "-c", "x"), None),
        (("sh", "-c"), None),
    ],
)
def test_the_text_of_a_shell(words: tuple[str, ...], at: int | None) -> None:
    assert shell_form.text_at(words) == at


def test_a_token_is_hidden_also_when_its_beginning_is_cut_off() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2ln-bmF0_dXJl"
    line = f'{{"token": "{token}"}}: 1: foo: not found'
    assert masked(line) == '{"token": "***"}: 1: foo: not found'
    assert masked(line[line.index(token) + 4 :], is_cut=True) == '"}: 1: foo: not found'
    assert masked("the file eyJ is no token") == "the file eyJ is no token"
