"""The request of `jobs submit`: items keep their text, and mistakes are named."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.errors import InvalidInput, NotFound
from fabric_jobs.workspace.job_request import request_text

UNSET: dict[str, Any] = {
    "submission": None,
    "items": None,
    "items_file": None,
    "ndjson": (),
    "files": (),
    "include": (),
    "exclude": (),
    "batch_size": 1,
    "workers": 1,
    "config": None,
    "timeout": None,
    "batch_timeout": None,
    "max_receive_count": None,
    "dead_letter_queue": None,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def text_of(here: Path | None = None, **options: Any) -> str:
    return request_text({**UNSET, **options}, here=here)


def request_of(here: Path | None = None, **options: Any) -> Any:
    return json.loads(text_of(here, **options))


def test_the_text_of_the_items_is_not_touched() -> None:
    items = '[1.10, 1e400, {"b": 1,  "a": 123456789012345678901234567890}]'
    assert f'"items": {items}' in text_of(items=f" {items}\n", batch_size=2)
    assert text_of(items="[]") == '{"workers": 1, "item_list": {"batch_size": 1, "items": []}}'


def test_a_submission_has_what_was_typed_and_nothing_else() -> None:
    config = '{"a": {"b": 1}}'
    found = request_of(
        ndjson=("s3://b/k",),
        batch_size=500,
        workers=4,
        config=config,
        timeout=90.2,
        batch_timeout=0.5,
        max_receive_count=3,
    )
    assert found == {
        "workers": 4,
        "config": {"a": {"b": 1}},
        "timeout": 91,
        "batch_timeout": 0.5,
        "max_receive_count": 3,
        "delimited_files": {"s3_paths": ["s3://b/k"], "batch_size": 500},
    }
    assert request_of() == {"workers": 1}


def test_the_attempts_go_into_the_queue_if_there_is_one() -> None:
    queue = {"arn": "arn:aws:sqs:us-west-2:1:dead.fifo", "max_receive_count": 2}
    found = request_of(items="[1]", dead_letter_queue=queue["arn"], max_receive_count=2)
    assert found["sqs_dead_letter_queue"] == queue
    assert "max_receive_count" not in found
    assert request_of(items="[1]", dead_letter_queue="x")["sqs_dead_letter_queue"]["max_receive_count"] == 1


def test_paths_begin_here_for_a_gateway_of_this_machine(tmp_path: Path) -> None:
    paths = ("a/b", "./c*.json", "dir/", ".", "..", "/abs/x", "s3://bucket/k", "file:///x")
    found = request_of(tmp_path, files=paths, include=("**.jpg",), exclude=("**_3.jpg",))["file_path_lister"]
    here = str(tmp_path)
    assert found["s3_paths"] == [
        f"{here}/a/b",
        f"{here}/c*.json",
        f"{here}/dir/",
        f"{here}/",
        f"{tmp_path.parent}/",
        *paths[5:],
    ]
    assert (found["includes"], found["excludes"]) == (["**.jpg"], ["**_3.jpg"])
    assert request_of(files=paths)["file_path_lister"]["s3_paths"] == list(paths)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ('[1, [2], {"a": 3}]', [1, [2], {"a": 3}]),
        ("[\n  1,\n  2\n]\n", [1, 2]),
        ('"one"\n\n{"two": 2}\r\n[3]\n', ["one", {"two": 2}, [3]]),
        ("[1]\n[2]\n", [[1], [2]]),
        ('"a line\u2028separator"\n"next\x85line"', ["a line\u2028separator", "next\x85line"]),
        ("", []),
        ("[]", []),
    ],
)
def test_a_file_of_items_is_an_array_or_a_value_a_line(text: str, items: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "items"
    file.write_text(text, encoding="utf-8", newline="")
    assert request_of(items_file=str(file))["item_list"]["items"] == items


@given(st.lists(JSON))
def test_lines_of_any_values_are_these_values(values: list[Any]) -> None:
    lines = "\n".join(json.dumps(value) for value in [None, *values])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
        assert request_of(items_file="-")["item_list"]["items"] == [None, *values]


def test_a_whole_submission_goes_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.write_text('{"workers": 1.0, "other": [1.10]}\n')
    assert text_of(submission=str(file)) == '{"workers": 1.0, "other": [1.10]}'


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"items": "one"}, "--items is not JSON"),
        ({"items": '{"a": 1}'}, "--items is not a JSON array"),
        ({"items": "[NaN]"}, "--items is not JSON"),
        ({"config": "[]"}, "--config is not a JSON object"),
        ({"config": "{"}, "--config is not JSON"),
    ],
)
def test_what_is_not_what_it_should_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        text_of(**options)


def test_a_bad_file_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "items.ndjson"
    file.write_text('1\n\n{"a": }\n')
    with pytest.raises(InvalidInput, match=r"line 3 of .*items\.ndjson is not JSON"):
        text_of(items_file=str(file))
    with pytest.raises(NotFound, match="there is no file"):
        text_of(items_file=str(tmp_path / "nowhere"))
    with pytest.raises(InvalidInput, match="is not a JSON object"):
        text_of(submission=str(file.parent / "list.json") if file.with_name("list.json").write_text("[]") else "")
