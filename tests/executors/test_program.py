"""The program that the local executor finds and runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors import ports, program
from fabric_jobs.executors.base import ProcessSpec


def test_the_command_comes_before_the_dockerfile(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text('ENTRYPOINT ["other"]')
    spec = ProcessSpec(directory=tmp_path, command=("mine", "-x"), arguments=("{}",))
    assert program.find(spec).words == ("mine", "-x", "{}")


def test_the_dockerfile_says_it_otherwise(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text('COPY . /app\nENTRYPOINT ["python3", "/app/main.py"]')
    spec = ProcessSpec(directory=tmp_path, arguments=("{}",))
    assert program.find(spec).words == (sys.executable, str(tmp_path / "main.py"), "{}")


@pytest.mark.parametrize("word", ["/usr/bin/python3", "python2", "pypy"])
def test_another_interpreter_stays_what_it_is(tmp_path: Path, word: str) -> None:
    assert program.find(ProcessSpec(directory=tmp_path, command=(word,))).words[0] == word


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
    found = program.find(ProcessSpec(directory=tmp_path, command=("true",)))
    assert (found.words, found.environment) == (("true",), None)


def test_requirements_need_an_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FABRIC_JOBS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "requirements.txt").write_text(
        "# our own\nrequests[socks]>=2  # web\ngit+https://me:secret@x/y#egg=z\n"
    )
    found = program.find(ProcessSpec(directory=tmp_path, command=("python", "main.py")))
    assert found.environment is not None
    assert found.environment.summary == "requests[socks]>=2, …"
    assert found.environment.directory.parent == tmp_path / "cache" / "environments"
    assert found.words == (str(found.environment.venv / "bin" / "python"), "main.py")
    assert found.variables["PATH"].startswith(f"{found.environment.binaries}:")
    assert found.variables["VIRTUAL_ENV"] == str(found.environment.venv)
    assert not (tmp_path / "cache").exists()


def test_a_file_that_requirements_refer_to_is_missed_by_name(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("-r more.txt\n")
    with pytest.raises(InvalidInput, match=r"more\.txt cannot be read: No such file .*requirements\.txt refers to it"):
        program.find(ProcessSpec(directory=tmp_path, command=("true",)))


# Interpreters


def which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> Path:
    """Make a program on PATH."""
    made = tmp_path / "bin" / name
    made.parent.mkdir(exist_ok=True)
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    monkeypatch.setenv("PATH", str(made.parent), prepend=":")
    return made


@pytest.mark.parametrize(("wanted", "name"), [("3.1", "python3.1"), ("pypy-99", "pypy-99")])
def test_an_interpreter_is_found_by_version_or_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str, name: str
) -> None:
    made = which(tmp_path, monkeypatch, name)
    found = program.find(ProcessSpec(directory=tmp_path, command=("python3", "x"), python=wanted))
    assert found.words == (str(made), "x")
    assert found.variables["PATH"].startswith(f"{made.parent}:")


def test_the_own_version_is_the_own_interpreter(tmp_path: Path) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert [program.interpreter(wanted, tmp_path) for wanted in ("", "3", version)] == [sys.executable] * 3


def test_a_relative_path_begins_at_the_action(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = which(tmp_path, monkeypatch, "my-python")
    assert program.interpreter("bin/my-python", tmp_path) == str(made)


def test_the_variable_is_the_default_and_the_action_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, own = which(tmp_path, monkeypatch, "python3.1"), which(tmp_path, monkeypatch, "python3.2")
    monkeypatch.setenv("FABRIC_JOBS_PYTHON", "3.1")
    assert program.find(ProcessSpec(directory=tmp_path, command=("python",))).words == (str(other),)
    assert program.find(ProcessSpec(directory=tmp_path, command=("python",), python="3.2")).words == (str(own),)


def test_an_interpreter_that_is_not_here_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"there is no Python '2\.1' here: 'python2\.1'") as caught:
        program.find(ProcessSpec(directory=tmp_path, command=("python",), python="2.1"))
    assert "FABRIC_JOBS_PYTHON" in caught.value.hint


# What else a Dockerfile says


def test_a_command_is_run_with_the_variables_and_paths_of_the_dockerfile(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "Dockerfile").write_text(
        "FROM python:3\nENV A=1 PYTHONPATH=/app/lib PATH=/opt/bin:$PATH\nWORKDIR /app/lib\nADD . /app"
    )
    spec = ProcessSpec(directory=tmp_path, command=("scuttle", "python", "/app/main.py"), arguments=("{}",))
    found = program.find(spec)
    assert found.words == (sys.executable, str(tmp_path / "main.py"), "{}")
    assert found.directory == tmp_path / "lib"
    assert (found.variables["A"], found.variables["PYTHONPATH"]) == ("1", str(tmp_path / "lib"))
    assert found.variables["PATH"].startswith(f"{Path(sys.executable).parent}:/opt/bin:")
    assert found.remarks == ()


def test_a_dockerfile_that_is_no_text_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_bytes(b"\xff\xfe\0")
    with pytest.raises(InvalidInput, match=r"Dockerfile cannot be read: it is in UTF-16; save it as UTF-8"):
        program.find(ProcessSpec(directory=tmp_path))
    (tmp_path / "Dockerfile").write_bytes('\ufeff# one\x85CMD other\r\nCMD ["python", "x.py"]\r\n'.encode())
    assert program.find(ProcessSpec(directory=tmp_path)).words[1:] == ("x.py",)


def test_a_program_that_listens_gets_a_free_port_and_listens_on_this_machine_only(tmp_path: Path) -> None:
    found = program.Program(
        words=("serve", "--host", "0.0.0.0", "--port=5000", "0.0.0.0:5000", "15000", "10.0.0.0"),
        directory=tmp_path,
        variables={"UVICORN_HOST": "0.0.0.0", "UVICORN_PORT": "5000"},
    )
    given, environment = ports.give(found, {"LISTEN": "0.0.0.0:5000", "LEVEL": "50"}, 5000, tmp_path)
    host, port = ports.address(tmp_path, [])
    assert given.words == ("serve", "--host", host, f"--port={port}", f"{host}:{port}", "15000", "10.0.0.0")
    assert given.variables == {"UVICORN_HOST": host, "UVICORN_PORT": str(port)}
    assert environment == {"LISTEN": f"{host}:{port}", "LEVEL": "50", "PORT": str(port)}
    assert host == "127.0.0.1"
    assert given.remarks == ()


@pytest.mark.parametrize(
    ("command", "given", "left"),
    [
        ("serve 8000", "serve 9", 0),
        ("python -m http.server 8000", "python -m http.server 9", 0),
        ("serve --port 8000 --workers 8000", "serve --port 9 --workers 8000", 1),
        ("serve -p8000 8000", "serve -p9 8000", 1),
        ("serve --http-port=8000 --db-port=8000", "serve --http-port=9 --db-port=8000", 1),
        ("serve --max-requests 8000", "serve --max-requests 8000", 1),
        ("serve --bind 0.0.0.0:8000", "serve --bind 127.0.0.1:9", 0),
        ("serve --bind=[::]:8000 -b :8000", "serve --bind=[::]:9 -b :9", 0),
        ("serve tcp://127.0.0.1:8000/x http://localhost:8000", "serve tcp://127.0.0.1:9/x http://localhost:9", 0),
        ("serve redis://db:8000 10.0.0.0:8000 x.0.0.0.0:8000", "serve redis://db:8000 10.0.0.0:8000 x.0.0.0.0:8000", 0),
        ("serve 8000.5 v8000 :80001 a:8000 fe80::8000", "serve 8000.5 v8000 :80001 a:8000 fe80::8000", 0),
    ],
)
def test_only_the_port_of_the_program_is_another_one(tmp_path: Path, command: str, given: str, left: int) -> None:
    for words, expected in (
        (tuple(command.split()), tuple(given.split())),
        (("sh", "-c", f'a; exec {command} "x y"'), ("sh", "-c", f'a; exec {given} "x y"')),
    ):
        found, _ = ports.give(program.Program(words=words, directory=tmp_path, variables={}), {}, 8000, tmp_path)
        port = str(ports.address(tmp_path, [])[1])
        assert tuple(word.replace(port, "9") for word in found.words) == expected
        assert len(found.remarks) == left


def test_a_variable_that_may_be_another_number_stays_and_is_remarked(tmp_path: Path) -> None:
    found = program.Program(words=("serve",), directory=tmp_path, variables={"HTTP_PORT": "8000", "BATCH": "8000"})
    environment = {"REDIS_PORT": "8000", "REDIS": "redis://db:8000", "TWICE": "8000,8000"}
    given, own = ports.give(found, environment, 8000, tmp_path)
    port = str(ports.address(tmp_path, [])[1])
    assert given.variables == {"HTTP_PORT": port, "BATCH": "8000"}
    assert own == {**environment, "PORT": port}
    assert [remark.partition(" still has 8000")[0] for remark in given.remarks] == [
        "the variable BATCH",
        "the variable REDIS_PORT",
    ]
