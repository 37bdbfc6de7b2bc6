"""The example workspace: copying it, and its three programs on their own."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fabric_jobs import shipped
from fabric_jobs.errors import AlreadyExists, InvalidInput, NotFound, PlaceUnavailable
from fabric_jobs.scaffold import files as tree_files
from fabric_jobs.scaffold.files import read_tree
from fabric_jobs.scaffold.templates import render
from fabric_jobs.workspace.example import copy_example, put_data_into_image
from fabric_jobs.workspace.lint.problems import lint
from fabric_jobs.workspace.tree import Workspace

EXPECTED = Path(__file__).parent.parent / "acceptance/flights_2013_01.json"
FLIGHTS = shipped.examples_dir() / "flights"
STUB = """
import json, sys

def message():
    return json.loads(sys.argv[-1])

def messages(acknowledge="record"):
    return map(json.loads, sys.stdin)

def send_message(payload, output_name=None, wait=False):
    print(json.dumps([output_name, payload]))
"""


def program(skill: str) -> Path:
    return FLIGHTS / "skills" / skill / "actions" / skill / "main.py"


def module(skill: str) -> SimpleNamespace:
    """Return the program of a skill as a module, without running its main()."""
    return SimpleNamespace(**runpy.run_path(str(program(skill))))


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    """Return a directory with a `fabric_skill` that reads stdin and prints sent records."""
    directory = tmp_path / "stub"
    directory.mkdir()
    (directory / "fabric_skill.py").write_text(STUB)
    return directory


def run(skill: str, message: object, stub: Path, *, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(stub), "FABRIC_JOBS_WORKSPACE": str(FLIGHTS)}
    command = [sys.executable, str(program(skill)), json.dumps(message)]
    return subprocess.run(command, input=stdin, env=environment, capture_output=True, text=True, check=False)


# -- copying -----------------------------------------------------------------------------------------


def test_a_copy_has_every_file_and_leads_editors_to_schemas_of_its_own(tmp_path: Path) -> None:
    destination = tmp_path / "new/flights-demo"
    assert copy_example("flights", destination) == destination
    original, copied = read_tree(FLIGHTS), read_tree(destination)
    assert list(copied) == list(original)
    changed = {path for path in original if original[path] != copied[path]}
    assert changed == {"agents/flights.yaml", *(path for path in original if path.endswith("/skill.yaml"))}
    for path in changed:
        kind = "agent" if path.startswith("agents/") else "skill"
        first, rest = copied[path].split(b"\n", 1)
        assert first.decode() == f"# yaml-language-server: $schema={shipped.schema_address(kind)}"
        assert rest == original[path].split(b"\n", 1)[1]
        address = first.decode().partition("$schema=")[2]
        assert ((destination / path).parent / address).read_bytes() == shipped.schema_file(kind).read_bytes()


def test_the_first_line_of_the_original_leads_to_the_schema_of_the_checkout() -> None:
    definitions = [*FLIGHTS.glob("skills/*/skill.yaml"), *FLIGHTS.glob("agents/*.yaml")]
    for path in definitions:
        address = path.read_text().splitlines()[0].removeprefix("# yaml-language-server: $schema=")
        assert (path.parent / address).resolve().parent == shipped.PACKAGE / "schemas"
    assert len(definitions) == 4


def test_a_copy_goes_into_an_empty_directory(tmp_path: Path) -> None:
    assert (copy_example("flights", tmp_path) / "agents/flights.yaml").is_file()


def test_a_copy_is_whole_and_nothing_is_wrong_with_it(tmp_path: Path) -> None:
    workspace = Workspace(root=copy_example("flights", tmp_path))
    assert [file.skill.name for file in workspace.agent("flights").skills] == [
        "read-flights",
        "score-delays",
        "summarise",
    ]
    assert lint(workspace) == ()


def test_what_a_run_left_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("used/skills/a/skill.yaml", "used/.fabric-jobs/token", "used/skills/a/__pycache__/main.pyc"):
        (tmp_path / "examples" / path).parent.mkdir(parents=True)
        (tmp_path / "examples" / path).write_text("x")
    monkeypatch.setattr(shipped, "examples_dir", lambda: tmp_path / "examples")
    copy_example("used", tmp_path / "copy")
    assert list(read_tree(tmp_path / "copy")) == ["skills/a/skill.yaml"]
    assert not (tmp_path / "copy/.fabric-jobs/token").exists()
    assert not (tmp_path / "copy/skills/a/__pycache__").exists()


def test_a_directory_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(AlreadyExists, match="not empty"):
        copy_example("flights", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_file_in_the_place_of_the_destination_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(InvalidInput, match="is a file"):
        copy_example("flights", tmp_path / "mine")


def test_an_unknown_example_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        copy_example("fligths", tmp_path)
    assert caught.value.hint == "Did you mean 'flights'?"


@pytest.mark.parametrize("step", [0, 7, 20])
def test_a_copy_that_fails_leaves_nothing(step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, steps = tree_files._write_file, iter(range(100))

    def write(path: Path, content: bytes, made: list[Path]) -> None:
        if next(steps) == step:
            raise OSError(28, "No space left on device", str(path))
        real(path, content, made)

    monkeypatch.setattr(tree_files, "_write_file", write)
    with pytest.raises(PlaceUnavailable, match="No space left"):
        copy_example("flights", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


# -- the records and the three programs --------------------------------------------------------------


def test_the_file_holds_january_and_is_packed_the_same_way_each_time() -> None:
    packed = (FLIGHTS / "data/2013-01.ndjson.gz").read_bytes()
    flights = [json.loads(line) for line in gzip.decompress(packed).splitlines()]
    assert len(flights) == 27_004
    assert {(flight["year"], flight["month"]) for flight in flights} == {(2013, 1)}
    assert packed[4:8] == b"\0\0\0\0"  # the timestamp


def test_the_three_programs_find_the_expected_summary() -> None:
    read, score, summarise = (module(skill) for skill in ("read-flights", "score-delays", "summarise"))
    flights = read.flights(FLIGHTS / "data/2013-01.ndjson.gz")
    scored = ({**flight, "outcome": score.outcome(flight, 30)} for flight in flights)
    assert summarise.summary(flight for flight in scored if flight["outcome"]) == json.loads(EXPECTED.read_text())


def test_reading_sends_every_flight_to_the_default_output(stub: Path) -> None:
    ended = run("read-flights", {"payload": {"path": "data/2013-01.ndjson.gz"}}, stub)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert len(lines) == 27_004
    assert json.loads(lines[0])[0] is None
    content = "\n".join(json.dumps(json.loads(line)[1], separators=(",", ":")) for line in lines) + "\n"
    original = gzip.decompress((FLIGHTS / "data/2013-01.ndjson.gz").read_bytes())
    assert hashlib.sha256(content.encode()).digest() == hashlib.sha256(original).digest()


def test_reading_takes_a_plain_file_and_passes_over_empty_lines(stub: Path, tmp_path: Path) -> None:
    (tmp_path / "two.ndjson").write_text('{"a": 1}\n\n{"a": 2}\n \n')
    ended = run("read-flights", {"payload": {"path": str(tmp_path / "two.ndjson")}}, stub)
    assert (ended.returncode, ended.stdout) == (0, '[null, {"a": 1}]\n[null, {"a": 2}]\n')


@pytest.mark.parametrize("payload", [None, {}, "x", {"path": ""}, {"path": 1}, []])
def test_a_payload_without_a_path_is_one_line_and_exit_code_2(payload: object, stub: Path) -> None:
    ended = run("read-flights", {"payload": payload}, stub)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("read-flights: the payload names no file")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.ndjson", None, "No such file or directory"),
        ("broken.ndjson", b'{"a": 1}\n{"a": 2\n', "line 2 of "),
        ("list.ndjson", b'{"a": 1}\n\n[1]\n', "line 3 of "),
        ("empty.ndjson", b"", "holds no flights"),
        ("blank.ndjson", b"\n \n", "holds no flights"),
        ("latin.ndjson", b'{"a": "\xe9"}\n', "line 1 of "),
        ("plain.gz", b'{"a": 1}\n', "Not a gzipped file"),
        ("half.gz", gzip.compress(b'{"a": 1}\n' * 1000, mtime=0)[:-12], "Compressed file ended"),
        ("wrong.gz", gzip.compress(b'{"a": 1}\n', mtime=0)[:10] + b"\xff" * 30, "cannot read "),
    ],
)
def test_an_unreadable_file_is_one_line_and_exit_code_2(
    name: str, content: bytes | None, said: str, stub: Path, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    ended = run("read-flights", {"payload": {"path": str(tmp_path / name)}}, stub)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert str(tmp_path / name) in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("departed", "late", "expected"),
    [
        (517, 31, "delayed"),
        (517, 30, None),
        (517, -5, None),
        (517, None, "diverted"),
        (None, None, "cancelled"),
        (0, 31, "delayed"),
    ],
)
def test_a_flight_has_one_outcome_at_most(departed: int | None, late: int | None, expected: str | None) -> None:
    assert module("score-delays").outcome({"dep_time": departed, "arr_delay": late}, 30.0) == expected


@pytest.mark.parametrize(
    ("properties", "sent"), [({}, 1), ({"threshold_minutes": 60}, 0), ({"threshold_minutes": "20"}, 2)]
)
def test_scoring_sends_to_the_output_and_says_so_in_the_record(
    properties: dict[str, Any], sent: int, stub: Path
) -> None:
    flights = [{"dep_time": 5, "arr_delay": delay} for delay in (25, 45, 0)]
    stdin = "".join(json.dumps(flight) + "\n" for flight in flights)
    ended = run("score-delays", {"payload": None, "properties": properties}, stub, stdin=stdin)
    assert ended.returncode == 0
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(lines) == sent
    assert all(output == record["outcome"] == "delayed" for output, record in lines)


def test_the_summary_is_sorted_rounded_and_honest_about_no_delay(stub: Path) -> None:
    flights = [
        {"carrier": "UA", "outcome": "delayed", "arr_delay": 31},
        {"carrier": "UA", "outcome": "delayed", "arr_delay": 40},
        {"carrier": "UA", "outcome": "delayed", "arr_delay": 41},
        {"carrier": "AA", "outcome": "cancelled", "arr_delay": None},
        {"carrier": "AA", "outcome": "diverted", "arr_delay": None},
    ]
    ended = run("summarise", {"payload": None}, stub, stdin="".join(json.dumps(flight) + "\n" for flight in flights))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout) == {
        "carriers": {
            "AA": {"delayed": 0, "mean_delay_minutes": None, "cancelled": 1, "diverted": 1},
            "UA": {"delayed": 3, "mean_delay_minutes": 37.3, "cancelled": 0, "diverted": 0},
        }
    }
    assert list(json.loads(ended.stdout)["carriers"]) == ["AA", "UA"]
    assert ended.stdout.count("\n") == 1


def test_its_images_are_built_as_those_of_the_templates(tmp_path: Path) -> None:
    render("stream", "summarise", tmp_path)
    text = (tmp_path / "skills/summarise/actions/summarise/Dockerfile").read_text()
    assert [path.read_text() for path in FLIGHTS.glob("skills/*/actions/*/Dockerfile")] == [text] * 3


def test_the_data_goes_where_the_image_of_the_first_skill_is_built_once(tmp_path: Path) -> None:
    root = copy_example("flights", tmp_path / "w")
    put_data_into_image(root)
    copied = root / "skills/read-flights/actions/read-flights/data/2013-01.ndjson.gz"
    assert copied.read_bytes() == (root / "data/2013-01.ndjson.gz").read_bytes()
    changed = copied.stat().st_mtime_ns
    put_data_into_image(root)
    assert copied.stat().st_mtime_ns == changed
