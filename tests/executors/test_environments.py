"""Cached environments: built once, never used half-built, never removed while a program runs in them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors import environments, install, program
from fabric_jobs.executors.base import STOPPED, UNPREPARED, AttemptExit, AttemptSpec, Note, ProcessSpec
from fabric_jobs.executors.environments import Environment
from fabric_jobs.executors.local import LocalExecutor
from tests.executors.contract import ended
from tests.wheels import requirements, write_wheel

SECONDS = 60.0
SHOW = "import needed, sys; print(needed.VERSION, sys.prefix)"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use an empty cache, and return its directory."""
    monkeypatch.setenv("FABRIC_JOBS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # with compiled files pip starts much faster
    return tmp_path / "cache" / "environments"


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[LocalExecutor]:
    made = LocalExecutor(tmp_path / "attempts")
    yield made
    for path in (tmp_path / "attempts").glob("*"):
        made.stop(str(path), 0)
    made.close()


@pytest.fixture
def action(tmp_path: Path) -> Path:
    """Return the directory of an action that needs a package."""
    write_wheel(tmp_path / "wheels", "needed")
    directory = tmp_path / "action"
    directory.mkdir()
    (directory / "requirements.txt").write_text(requirements(tmp_path / "wheels", "needed==1.0"))
    return directory


class Gate:
    """A package index that makes pip wait, and then serves the wheels of a directory."""

    def __init__(self, directory: Path) -> None:
        self._asked, self._released = threading.Event(), threading.Event()
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                gate._asked.set()
                gate._released.wait(SECONDS)
                name = self.path.strip("/").rpartition("/")[2]
                pages = [f'<a href="/{path.name}">{path.name}</a>' for path in directory.glob(f"{name}-*.whl")]
                body = (directory / name).read_bytes() if name.endswith(".whl") else "".join(pages).encode()
                with suppress(OSError):  # the client may have been killed
                    self.send_response(200)
                    self.send_header("Content-Type", "text/html")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/simple"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def wait(self) -> None:
        """Wait until pip is waiting."""
        assert self._asked.wait(SECONDS)

    def release(self) -> None:
        """Let pip go on."""
        self._released.set()

    def close(self) -> None:
        """End it."""
        self.release()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def gate(tmp_path: Path, action: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Yield a gate at which pip waits while it installs for the action."""
    made = Gate(tmp_path / "wheels")
    monkeypatch.setenv("no_proxy", "*")
    (action / "requirements.txt").write_text(f"--index-url {made.url}\nneeded==1.0\ngated\n")
    yield made
    made.close()


def spec_of(action: Path, code: str = SHOW, *, name: str = "attempt-1") -> AttemptSpec:
    return AttemptSpec(name=name, processes=(ProcessSpec(directory=action, command=("python", "-c", code)),))


def environment_of(action: Path) -> Environment:
    found = program.find(ProcessSpec(directory=action, command=("python",))).environment
    assert found is not None
    return found


def run(executor: LocalExecutor, spec: AttemptSpec) -> tuple[AttemptExit, str, str]:
    """Run an attempt to its end; return its exit and its output."""
    handle = executor.start(spec)
    found = ended(executor, handle)
    stdout, stderr = (executor.logs(handle, stream, 0, 1 << 20).decode() for stream in ("stdout", "stderr"))
    return found, stdout, stderr


def builds(cache: Path, attempts: Path) -> int:
    """Return how many attempts ran pip."""
    return len(list(attempts.glob(f"*/{install.LOG}")))


def test_an_environment_is_built_once_and_then_used_without_another_process(
    executor: LocalExecutor, action: Path, tmp_path: Path
) -> None:
    environment = environment_of(action)
    expected = (AttemptExit(0), f"1.0 {environment.venv}\n", "")
    assert run(executor, spec_of(action)) == expected
    assert executor.note(str(tmp_path / "attempts/attempt-1")) == Note()
    words = "import sys; print(sys.orig_argv[0])"
    assert run(executor, spec_of(action, words, name="attempt-2"))[1] == f"{environment.binaries}/python\n"
    assert [path.parent.name for path in (tmp_path / "attempts").glob(f"*/{install.LOG}")] == ["attempt-1"]
    (cached,) = environments.listed()
    version = ".".join(map(str, sys.version_info[:3]))
    assert (cached.key, cached.python, cached.state) == (environment.directory.name, version, "complete")
    assert (cached.requirements, cached.size > 0) == ("needed==1.0", True)


def test_ten_that_start_at_once_build_one(executor: LocalExecutor, action: Path, tmp_path: Path, cache: Path) -> None:
    handles = [executor.start(spec_of(action, name=f"attempt-{number}")) for number in range(10)]
    assert [ended(executor, handle) for handle in handles] == [AttemptExit(0)] * 10
    assert {executor.logs(handle, "stdout", 0, 1000).decode() for handle in handles} == {
        f"1.0 {environment_of(action).venv}\n"
    }
    assert builds(cache, tmp_path / "attempts") == 1
    assert len(list(cache.iterdir())) == 1


def test_words_of_pip_are_told_when_it_fails(executor: LocalExecutor, action: Path, tmp_path: Path) -> None:
    with open(action / "requirements.txt", "a") as file:
        file.write("missing-one==3\n")
    found, stdout, stderr = run(executor, spec_of(action))
    assert found == AttemptExit(1, UNPREPARED)
    assert stdout == ""
    assert "the requirements could not be installed" in stderr
    assert "No matching distribution found for missing-one==3" in stderr
    assert "missing-one" in (tmp_path / "attempts/attempt-1" / install.LOG).read_text()
    assert [cached.state for cached in environments.listed()] == ["incomplete"]
    assert len(environments.prune(before=1.0)) == 1


def test_a_python_that_makes_no_environment_is_told(executor: LocalExecutor, action: Path, tmp_path: Path) -> None:
    broken = tmp_path / "python-broken"
    broken.write_text("#!/bin/sh\necho I am broken; exit 9\n")
    broken.chmod(0o755)
    process = ProcessSpec(directory=action, command=("python", "main.py"), python=str(broken))
    found, _, stderr = run(executor, AttemptSpec(name="attempt-1", processes=(process,)))
    assert found == AttemptExit(9, UNPREPARED)
    assert "no environment can be made" in stderr
    assert "I am broken" in stderr


def test_a_fabric_jobs_without_pip_says_so(action: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    words = install.command(environment_of(action), tmp_path, ("true",))
    source = str(Path(install.__file__).parent.parent.parent)
    done = subprocess.run(
        [bare / "bin" / "python", *words[1:]],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"{bare}/bin/python, the Python of fabric-jobs, has no pip" in done.stderr
    assert (tmp_path / install.FAILED).exists()


def test_modules_of_the_action_do_not_stand_in_the_way(executor: LocalExecutor, action: Path) -> None:
    for name in ("json", "subprocess", "pip", "fabric_jobs", "venv"):
        (action / f"{name}.py").write_text("raise SystemExit('mine')\n")
    process = ProcessSpec(directory=action, command=("no-such-program",))
    found, _, stderr = run(executor, AttemptSpec(name="attempt-1", processes=(process,)))
    assert found == AttemptExit(127)  # the code for a missing program, so all before it succeeded
    assert "no-such-program" in stderr


def test_what_was_killed_in_the_middle_is_never_used(
    executor: LocalExecutor, action: Path, gate: Gate, tmp_path: Path
) -> None:
    handle = executor.start(spec_of(action))
    gate.wait()
    (environment_of(action).venv / "half").touch()
    os.killpg(int((tmp_path / "attempts/attempt-1/begun").read_text().split()[1]), signal.SIGKILL)
    assert ended(executor, handle) == AttemptExit(137)
    gate.release()
    write_wheel(tmp_path / "wheels", "gated")
    environment = environment_of(action)
    assert run(executor, spec_of(action, name="attempt-2"))[:2] == (AttemptExit(0), f"1.0 {environment.venv}\n")
    assert not (environment.venv / "half").exists()


def test_a_pip_does_not_outlive_its_attempt_and_the_next_one_builds_anew(
    executor: LocalExecutor, action: Path, gate: Gate, tmp_path: Path
) -> None:
    handle = executor.start(spec_of(action))
    gate.wait()
    builder = int((tmp_path / "attempts/attempt-1/begun").read_text().split()[1])
    os.kill(builder, signal.SIGKILL)
    assert ended(executor, handle) == AttemptExit(137)
    assert [cached.state for cached in environments.listed()] == ["incomplete"]
    gate.release()
    write_wheel(tmp_path / "wheels", "gated")
    second = executor.start(spec_of(action, name="attempt-2"))
    assert ended(executor, second) == AttemptExit(0)


def test_an_installation_is_seen_by_others_and_can_be_stopped(
    executor: LocalExecutor, action: Path, gate: Gate, tmp_path: Path
) -> None:
    first = executor.start(spec_of(action))
    gate.wait()
    second = executor.start(spec_of(action, name="attempt-2"))
    until_waiting(executor, second)
    executor.close()
    restarted = LocalExecutor(tmp_path / "attempts")
    assert [restarted.poll(handle) for handle in (first, second)] == [None, None]
    assert restarted.note(first).doing.startswith(install.INSTALLING)
    assert [cached.state for cached in environments.listed()] == ["building"]
    assert environments.prune(before=None) == []
    for handle in (second, first):
        restarted.stop(handle, SECONDS)
        assert ended(restarted, handle) == AttemptExit(143, STOPPED)
    assert not environments.is_complete(environment_of(action).directory)
    restarted.close()


def until_waiting(executor: LocalExecutor, handle: str) -> None:
    """Wait until an attempt waits for another one."""
    while executor.note(handle).doing != install.WAITING:
        assert executor.poll(handle) is None
        time.sleep(0.01)


# The cache


def test_what_is_in_use_is_never_removed(executor: LocalExecutor, action: Path, tmp_path: Path, cache: Path) -> None:
    for name in ("builds-it", "finds-it"):
        os.mkfifo(tmp_path / name)
        handle = executor.start(spec_of(action, f"open({str(tmp_path / name)!r}).read(); {SHOW}", name=name))
        with open(tmp_path / name, "w"):  # the program has opened it, so it runs
            assert [cached.state for cached in environments.listed()] == ["in use"]
            assert environments.prune(before=None) == []
        assert ended(executor, handle) == AttemptExit(0)
    marker = environment_of(action).directory / "complete"
    os.utime(marker, (1000, 1000))
    assert environments.prune(before=999.0) == []
    assert run(executor, spec_of(action, name="used"))[0] == AttemptExit(0)
    assert environments.prune(before=1001.0) == []
    os.utime(marker, (1000, 1000))
    (cache / "unfinished").mkdir()
    (cache / f"old{environments.REMOVED}1").mkdir()
    assert {cached.state for cached in environments.prune(before=1001.0)} == {"incomplete", "complete"}
    assert list(cache.iterdir()) == []


def test_a_cache_that_was_moved_is_not_used(action: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = environment_of(action)
    environment.binaries.mkdir(parents=True)
    (environment.binaries / "python").touch()
    for name, text in (("use", ""), ("complete", str(environment.directory))):
        (environment.directory / name).write_text(text)
    held = environments.hold(environment)
    assert held is not None
    os.close(held)
    (tmp_path / "cache").rename(tmp_path / "moved")
    monkeypatch.setenv("FABRIC_JOBS_CACHE", str(tmp_path / "moved"))
    assert environments.hold(environment_of(action)) is None
    monkeypatch.setenv("FABRIC_JOBS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "moved").rename(tmp_path / "cache")
    (environment.binaries / "python").unlink()  # as if its original Python were gone
    assert environments.hold(environment) is None


def test_the_cache_is_below_that_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FABRIC_JOBS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert environments.root() == Path("/x/fabric-jobs/environments")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert environments.root() == Path.home() / ".cache/fabric-jobs/environments"


# The key


def key(action: Path, **variables: str) -> str:
    found = program.find(ProcessSpec(directory=action, command=("python",), environment=variables)).environment
    assert found is not None
    return found.directory.name


def test_comments_and_spaces_make_no_other_environment(action: Path) -> None:
    before = key(action)
    path = action / "requirements.txt"
    path.write_text(f"# why\n\n{path.read_text()}  # more\n\n")
    assert key(action) == before
    path.write_text(path.read_text().replace("needed==1.0", "needed == 1.0 \\\n  ; python_version > '3'"))
    assert key(action) != before


@pytest.mark.parametrize(
    "encoded",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
        lambda text: text.encode("utf-32"),
        lambda text: f"# -*- coding: latin-1 -*- \xe9\n{text}".encode("latin-1"),
        lambda text: text.replace(" ", " \\\r\n").encode(),
        lambda text: text.replace("more.txt", "file://{}/more.txt").encode(),
    ],
    ids=["utf-8 with a mark", "utf-16", "utf-16-be", "utf-32", "declared", "continued", "url"],
)
def test_a_file_is_read_as_pip_reads_it(action: Path, encoded: Callable[[str], bytes]) -> None:
    (action / "requirements.txt").write_bytes(encoded("-r more.txt\n").replace(b"{}", bytes(action)))
    (action / "more.txt").write_bytes(encoded("a==1\n"))
    before = key(action)
    (action / "more.txt").write_bytes(encoded("a==2\n"))
    assert key(action) != before


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("a==1".encode("utf-16-le"), "UTF-16 without a byte order mark"),
        (b"\xff\xfea", "not valid utf-16"),
        (b"# coding: klingon\n", "the encoding klingon, which Python does not know"),
        (b"# coding: ascii\n\xe9", "not valid ascii from byte 16 on"),
    ],
)
def test_a_file_that_pip_could_not_read_is_named_with_its_encoding(action: Path, data: bytes, words: str) -> None:
    (action / "requirements.txt").write_text("-c more.txt")
    (action / "more.txt").write_bytes(data)
    with pytest.raises(InvalidInput, match=rf"more\.txt cannot be read: .*{words}.*; .*requirements\.txt refers to it"):
        key(action)


@pytest.mark.parametrize("line", ["-r {}", "-r{}", "--requirement={}", "-c {}", "--constraint {}"])
def test_what_a_file_refers_to_counts(action: Path, line: str) -> None:
    (action / "inner").mkdir()
    (action / "requirements.txt").write_text(line.format("inner/more.txt"))
    (action / "inner" / "more.txt").write_text("-r last.txt\n-r ../requirements.txt\n")
    (action / "inner" / "last.txt").write_text("a==1\n")
    before = key(action)
    assert key(action) == before
    (action / "inner" / "last.txt").write_text("a==2\n")
    assert key(action) != before


@pytest.mark.parametrize(
    "line", ["./package", "package/", "./package[extra]", "one @ file://{}/package", "--find-links package"]
)
def test_local_packages_count(action: Path, line: str) -> None:
    (action / "package" / "__pycache__").mkdir(parents=True)
    (action / "package" / "module.py").write_text("1")
    (action / "requirements.txt").write_text(line.format(action))
    before = key(action)
    (action / "package" / "__pycache__" / "x.pyc").touch()
    assert key(action) == before
    (action / "package" / "module.py").write_text("22")
    assert key(action) != before


def test_of_an_editable_package_the_metadata_counts(action: Path) -> None:
    (action / "package").mkdir()
    (action / "package" / "pyproject.toml").write_text("")
    (action / "requirements.txt").write_text("-e ./package\n")
    before = key(action)
    (action / "package" / "module.py").write_text("22")
    assert key(action) == before
    (action / "package" / "pyproject.toml").write_text("[project]")
    assert key(action) != before


def test_variables_and_the_python_count(action: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (action / "requirements.txt").write_text("--index-url https://${TOKEN}@x/simple\nneeded\n")
    assert key(action, TOKEN="a") != key(action, TOKEN="b")
    before = key(action)
    (tmp_path / "other").write_text("#!/bin/sh\n")
    (tmp_path / "other").chmod(0o755)
    monkeypatch.setenv("FABRIC_JOBS_PYTHON", str(tmp_path / "other"))
    assert key(action) != before


STATE = """\
grep -E "Sig(Ign|Blk|Cgt)" /proc/self/status; nice; umask; cat /proc/self/limits
ls /proc/self/fd | wc -l; tr "\\0" "\\n" </proc/self/environ | grep -v ATTEMPT_DIRECTORY | sort
"""


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="there is no /proc")
def test_the_program_of_the_run_that_installs_is_started_like_those_of_later_runs(
    executor: LocalExecutor, action: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LANG", "LC_ALL", "LC_CTYPE"):
        monkeypatch.delenv(name, raising=False)  # Python would choose a locale for its successor
    # One variable has a name that no shell passes on.
    process = ProcessSpec(directory=action, command=("/bin/sh", "-c", STATE), environment={"spring.mode": "dot"})
    first, later = (run(executor, AttemptSpec(name=name, processes=(process,)))[1] for name in ("first", "later"))
    ignored = int(first.partition("SigIgn:\t")[2].split()[0], 16)
    assert [n for n in signal.valid_signals() if ignored >> (n - 1) & 1] == []  # 32 and 33 belong to the C library
    assert first == later
