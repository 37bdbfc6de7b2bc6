"""Parsing a command line of Python: the interpreter's options, the program, its arguments."""

from __future__ import annotations

import pytest

from fabric_jobs.executors.warm.command import Command, read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("python main.py a", Command("python", (), "script", "main.py", ("a",))),
        ("/x/python3.12 -uB -X utf8 -Wd a", Command("/x/python3.12", ("-uB", "-X", "utf8", "-Wd"), "script", "a", ())),
        ("python -- -main.py -x", Command("python", (), "script", "-main.py", ("-x",))),
        ("python -m work -v", Command("python", (), "module", "work", ("-v",))),
        ("python -Imwork.__main__ -v", Command("python", ("-I",), "module", "work.__main__", ("-v",))),
        ("python -uc print(1) -c", Command("python", ("-u",), "code", "print(1)", ("-c",))),
        ("python --check-hash-based-pycs a b", Command("python", ("--check-hash-based-pycs", "a"), "script", "b", ())),
    ],
)  # fmt: skip
def test_what_is_run(text: str, expected: Command) -> None:
    assert read(tuple(text.split())) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("bash main.py", "'bash' is not a Python"),
        ("/usr/bin/pypy3 main.py", "'pypy3' is not a Python"),
        ("", "'' is not a Python"),
        ("python", "Python has no program to run"),
        ("python -u", "Python has no program to run"),
        ("python -m", "Python has no program to run"),
        ("python --", "Python has no program to run"),
        ("python -ui main.py", "'python -i' cannot be started warm"),
        ("python -v main.py", "'python -v' cannot be started warm"),
        ("python - main.py", "'python -' cannot be started warm"),
        ("python --version", "'python --version' cannot be started warm"),
    ],
)
def test_what_cannot_be_started_warm(text: str, reason: str) -> None:
    assert read(tuple(text.split())) == reason
