"""Tables, JSON and YAML, as commands print them."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from fabric_jobs import errors
from fabric_jobs.cli.terminal.exits import exit_code_of
from fabric_jobs.cli.terminal.printing import show, show_rows


def test_a_table_is_aligned_and_each_row_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, Any]] = [{"name": "a", "cause": "two\nlines"}, {"name": "longer", "cause": None}]
    show_rows(rows, {"NAME": "name", "CAUSE": "cause"}, "table", empty="nothing")
    assert capsys.readouterr().out == "NAME    CAUSE\na       two lines\nlonger\n"


def test_an_empty_table_says_so_beside_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([], {"NAME": "name"}, "table", empty="There is nothing.")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "There is nothing.\n")
    show_rows([], {"NAME": "name"}, "json", empty="There is nothing.")
    assert json.loads(capsys.readouterr().out) == []


def test_json_and_yaml_keep_order_and_letters(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"z": "é 🚀", "a": [1, None]}
    show(value, "json")
    assert json.loads(capsys.readouterr().out) == value
    show(value, "yaml")
    assert capsys.readouterr().out == "z: é 🚀\na:\n- 1\n- null\n"


def test_json_is_ascii_where_the_output_is(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    show("é", "json")
    assert written.getvalue() == b'"\\u00e9"\n'


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.RunFailed(""), 1),
        (errors.FabricJobsError(""), 1),
        (errors.InvalidInput(""), 2),
        (errors.RecordTooLarge(""), 2),
        (errors.AlreadyExists(""), 2),
        (errors.NotFound(""), 3),
        (errors.InvalidDefinition(()), 4),
        (errors.PlaceUnavailable(""), 5),
        (errors.ExecutorUnavailable(""), 5),
        (errors.NotAllowed(""), 5),
    ],
)
def test_every_error_has_its_exit_code(error: errors.FabricJobsError, code: int) -> None:
    assert exit_code_of(error) == code
