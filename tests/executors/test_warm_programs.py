"""A program sees the same and ends in the same way, whether it starts cold or is forked from a template process."""

from __future__ import annotations

import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.executors.warm_programs import ENDS, SEEN, WORK
from tests.executors.warm_template import Ended, Warm, cold, python

BESIDE = """
import sys
class C:
    def __del__(self): print("gone too")
def fail(): raise LookupError("beside")
def main(): return sys.modules["__main__"]
def caller(): return sys._getframe(1).f_code.co_name
"""
PROGRAMS = {**SEEN, **WORK, **ENDS}
MESSAGE = '{"payload": "\u00e4 \U0001f642"}'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("warm")
    (made / "beside.py").write_text(BESIDE)
    (made / "main.py").touch()
    return made


@pytest.fixture(scope="module")
def script(place: Path) -> Iterator[Warm]:
    made = Warm(place, python("main.py"), preload=("json", "decimal", "logging", "threading", "concurrent.futures"))
    assert made.first.get("ready"), made.first
    yield made
    made.close()


def written(place: Path) -> bytes:
    """Return the content of the file `written`, and remove the file."""
    path = place / "written"
    text = path.read_bytes() if path.exists() else b""
    path.unlink(missing_ok=True)
    return text


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_the_same(place: Path, script: Warm, name: str) -> None:
    encoding = "latin-1" if name == "cookie" else "utf-8"
    (place / "main.py").write_text(PROGRAMS[name], encoding=encoding)
    expected = cold(place, python("main.py", MESSAGE), MINE="mine"), written(place)
    assert (script.run(name, [MESSAGE], MINE="mine"), written(place)) == expected


def both(place: Path, *words: str, variables: dict[str, str] | None = None) -> tuple[Ended, Ended]:
    """Run a command line cold and warm."""
    given = variables or {}
    expected = cold(place, python(*words, MESSAGE), **given, MINE="mine")
    warm = Warm(place, python(*words), variables=given)
    assert warm.first.get("ready"), warm.first
    found = warm.run(f"{uuid.uuid4()}", [MESSAGE], MINE="mine")
    warm.close()
    return found, expected


LOOK = f"{SEEN['arguments']}\n{SEEN['paths']}\n{SEEN['main']}\n{WORK['pickle']}\n{SEEN['streams']}\n{ENDS['exception']}"


@pytest.mark.parametrize("options", ["", "-O", "-I", "-P", "-Es", "-B -Wd", "-X dev", "-bb -q"])
def test_options_of_the_interpreter_are_the_same(place: Path, options: str) -> None:
    (place / "main.py").write_text(LOOK.replace("print(type(__loader__)", "#"))
    found, expected = both(place, *options.split(), "main.py")
    assert found == expected


@pytest.mark.parametrize(
    "words",
    [
        ("./main.py",),
        ("sub/../main.py",),
        ("link.py",),
        ("-m", "main"),
        ("-m", "packed"),
        ("-m", "packed.not_there"),
        ("sub",),
        ("packed.zip",),
        ("-c", LOOK.replace("print(type(__loader__)", "#")),
        ("-c", "x ==="),
        ("gone.py",),
    ],
    ids=lambda words: " ".join(words)[:20],
)
def test_every_kind_of_program_is_the_same(place: Path, words: tuple[str, ...]) -> None:
    text = LOOK.replace("print(type(__loader__)", "#")
    for name in ("main.py", "sub/__main__.py", "packed/__main__.py", "packed/__init__.py"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text if "__init__" not in name else "")
    (place / "link.py").unlink(missing_ok=True)
    (place / "link.py").symlink_to("sub/__main__.py")
    with zipfile.ZipFile(place / "packed.zip", "w") as archive:
        archive.writestr("__main__.py", text)
    found, expected = both(place, *words)
    assert found == expected


@pytest.mark.parametrize(
    "variables", [{"LANG": "C", "LC_ALL": "C"}, {"PYTHONIOENCODING": "latin-1"}, {"PYTHONUNBUFFERED": ""}]
)
def test_variables_of_the_interpreter_are_the_same(place: Path, variables: dict[str, str]) -> None:
    (place / "main.py").write_text(LOOK)
    found, expected = both(place, "main.py", variables=variables)
    assert found == expected


def test_what_differs_from_run_to_run_does(script: Warm, place: Path) -> None:
    (place / "main.py").write_text(
        "import random, uuid, secrets\nprint(random.random(), uuid.uuid4(), secrets.token_hex())"
    )
    first, second = (script.run(f"{uuid.uuid4()}").stdout.split() for _ in range(2))
    assert len({*first, *second}) == 6
