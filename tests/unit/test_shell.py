"""The environment of a command is passed on to programs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.attempt_files import specs
from fabric_jobs.executors.base import AttemptSpec, ProcessSpec
from fabric_jobs.shell import LIMIT, Shell, Shells, own_shell, shell_of


def test_what_is_handed_over_arrives_whatever_its_names_and_bytes_are() -> None:
    given = {"A": "1", "spring.mode": "x=y", "BASH_FUNC_f%%": "() {\n}", "BAD": "\udcff", "EMPTY": ""}
    own = own_shell({**given, "CORTEX_TOKEN": "of the attempt that typed the command"})
    assert shell_of(own.document()) == own
    assert shell_of(own.document()).environment == given
    assert "spring" not in repr(own)


def test_an_environment_that_is_too_large_is_refused_on_both_sides() -> None:
    large = Shell(b"A=" + b"x" * LIMIT, 0o022)
    with pytest.raises(InvalidInput, match="programs can get at most 1,048,576"):
        own_shell({"A": "x" * LIMIT})
    with pytest.raises(InvalidInput, match="programs can get at most 1,048,576"):
        shell_of(large.document())


def test_what_a_container_is_started_with_is_kept_without_it(tmp_path: Path) -> None:
    process = ProcessSpec(directory=None, image="image", shell=own_shell({"A": "secret"}))
    specs.write_spec(tmp_path, AttemptSpec(name="one", processes=(process,)))
    assert specs.read_spec(tmp_path).processes == (replace(process, shell=None),)
    assert "shell" not in (tmp_path / specs.FILE).read_text()


@pytest.mark.parametrize(
    "wrong", [1, [], {}, {"environment": "QT0x"}, {"environment": "?", "umask": 0}, {"environment": "QQ==", "umask": 0}]
)
def test_what_is_no_shell_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidInput, match="is not the environment"):
        shell_of(wrong)


def test_a_loop_in_one_shell_is_kept_once_and_forgotten() -> None:
    shells = Shells()
    for name in ("a", "b"):
        shells.keep(name, own_shell({"A": "1"}))
    assert shells.of("a") is shells.of("b")
    shells.forget("a")
    assert shells.of("a") is None
