"""A template process: its refusals, its children, and what is left of it."""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.executors.warm_template import MARK, Warm, python

THREAD = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text("")
    return tmp_path


@pytest.fixture
def template(place: Path) -> Iterator[Warm]:
    made = Warm(place, python("main.py"))
    yield made
    made.close()


def refused(place: Path, *preload: str, words: tuple[str, ...] = python("main.py"), **variables: str) -> str:
    """Return why a program cannot start warm, once its template process has ended."""
    made = Warm(place, words, preload=preload, variables=variables)
    assert made.hear() == {}
    made.close()
    return str(made.first["cold"])


def test_a_module_that_starts_a_thread_is_named(place: Path) -> None:
    (place / "busy.py").write_text(THREAD)
    (place / "outer.py").write_text("import busy")
    assert refused(place, "json", "busy") == "'busy' started a thread when it was imported"
    assert refused(place, "outer", "json") == "'outer' started a thread when it was imported"


def test_a_thread_that_python_does_not_know_counts(place: Path) -> None:
    (place / "busy.py").write_text(
        "import _thread, os\nr, w = os.pipe()\n_thread.start_new_thread(os.read, (r, 1))\n"
        "import threading\nassert threading.active_count() == 1"
    )
    assert refused(place, "busy") == "'busy' started a thread when it was imported"


def test_a_module_that_cannot_be_imported_is_named(place: Path) -> None:
    (place / "broken.py").write_text("raise ValueError('not\\nnow')")
    (place / "leaving.py").write_text("import sys; sys.exit(3)")
    assert (
        refused(place, "not_there.at_all")
        == "'not_there.at_all' cannot be imported: ModuleNotFoundError: No module named 'not_there'"
    )
    assert refused(place, "broken") == "'broken' cannot be imported: ValueError: not now"
    assert refused(place, "leaving") == "'leaving' cannot be imported: SystemExit: 3"


def test_python_that_talks_is_not_forked(place: Path) -> None:
    assert refused(place, PYTHONINSPECT="1") == "Python was told to be interactive or verbose"
    assert refused(place, words=python("-X", "importtime", "main.py")) == "Python was told to be interactive or verbose"


def test_a_refusal_says_what_was_read_so_far(place: Path) -> None:
    (place / "one.py").touch()
    os.utime(place / "one.py", (1, 1))
    made = Warm(place, python("main.py"), preload=("one", "not_there"))
    assert made.first["files"][str(place / "one.py")] == [1_000_000_000, 0]
    assert str(place) in made.first["files"]  # another module may appear there
    made.close()


def test_the_files_of_modules_are_told_as_they_were_read(place: Path) -> None:
    (place / "package").mkdir()
    (place / "package" / "__init__.py").write_text("x = 1")
    os.utime(place / "package" / "__init__.py", (5, 5))
    (place / "changing.py").write_text(
        "import pathlib, os\npath = pathlib.Path(__file__)\npath.write_text('# another text')"
    )
    made = Warm(place, python("main.py"), preload=("package", "changing"))
    files = made.first["files"]
    made.close()
    assert files[str(place / "package" / "__init__.py")] == [5_000_000_000, 5]
    assert files[str(place / "changing.py")] == [0, 0]  # which version was read is unknown
    assert os.path.abspath(json.__file__) in files
    assert str(place / "main.py") not in files


def test_children_run_beside_each_other_and_stay_until_they_are_reaped(place: Path, template: Warm) -> None:
    (place / "main.py").write_text("import sys; open(sys.argv[1]).read(); sys.exit(int(sys.argv[2]))")
    pids = {}
    for name, code in (("a", 3), ("b", 4)):
        os.mkfifo(place / name)
        template.start(name, [str(place / name), str(code)])
        pids[name] = template.hear()["pid"]
    for name, code in (("b", 4), ("a", 3)):
        (place / name).write_text("go")
        assert template.hear() == {"ended": name, "pid": pids[name], "code": code}
        assert state(pids[name]) == "Z"
    for pid in pids.values():
        template.tell(reap=pid)
    (place / "c").write_text("")
    template.start("c", [str(place / "c"), "0"])
    template.hear(), template.hear()
    assert [state(pid) for pid in pids.values()] == ["", ""]


def test_children_do_not_hold_the_socket_and_outlive_the_template(place: Path, template: Warm) -> None:
    (place / "main.py").write_text("import sys; open(sys.argv[1]).read(); open(sys.argv[2], 'w').write('done')")
    for name in ("go", "done"):
        os.mkfifo(place / name)
    template.start("a", [str(place / "go"), str(place / "done")])
    template.hear()
    template.process.kill()
    assert template.hear() == {}
    assert template.process.wait(30) == -signal.SIGKILL
    (place / "go").write_text("go")
    assert (place / "done").read_text() == "done"


def test_what_is_seen_of_a_child_from_outside(place: Path, template: Warm) -> None:
    (place / "main.py").write_text("import sys; open(sys.argv[1]).read()")
    os.mkfifo(place / "go")
    template.start("a", [str(place / "go")])
    pid = template.hear()["pid"]
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    assert f"{MARK}={place}/out/a".encode() in variables
    assert [os.path.basename(word.decode()) for word in words] == ["python", "main.py"]
    (place / "go").write_text("go")
    assert template.hear()["code"] == 0


def test_numbers_of_numpy_are_others_in_each_child(place: Path) -> None:
    (place / "numpy").mkdir()
    (place / "numpy" / "__init__.py").touch()
    (place / "numpy" / "random.py").write_text(
        "import os\nstate = 0\ndef seed():\n    global state\n    state = os.getpid()"
    )
    (place / "main.py").write_text("import numpy.random, os; print(numpy.random.state == os.getpid())")
    template = Warm(place, python("main.py"), preload=("numpy.random",))
    assert template.run("a").stdout == "True\n"
    template.close()


def test_it_ends_when_it_is_idle_but_not_while_a_child_runs(place: Path) -> None:
    (place / "main.py").write_text("import sys; open(sys.argv[1]).read()")
    os.mkfifo(place / "go")
    template = Warm(place, python("main.py"), idle=0.05)
    template.start("a", [str(place / "go")])
    pid = template.hear()["pid"]
    assert not select.select([template.socket], [], [], 0.3)[0]
    (place / "go").write_text("go")
    assert template.hear()["ended"] == "a"
    template.tell(reap=pid)
    assert template.process.wait(30) == 0
    template.close()


def test_a_start_that_cannot_be_made_has_an_exit_code(place: Path, template: Warm) -> None:
    template.tell(
        start="a", arguments=[], environment={}, stdout="/nowhere/out", stderr="/nowhere/err", directory=str(place)
    )
    assert template.hear()["code"] == 1


def state(pid: int) -> str:
    """Return the kernel's state letter of a process; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""
