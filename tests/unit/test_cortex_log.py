"""The logger of code for Cortex Labs: the lines that it writes, and that nothing makes it raise."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.executors.program import RUNTIME
from fabric_jobs.runtime.cortex_internal.lib.log import CortexLogger, JsonFormatter

FIRST = ["asctime", "levelname", "message", "process"]


class Log:
    """A logger that writes to a text."""

    def __init__(self) -> None:
        self.text = io.StringIO()
        self.logger = CortexLogger("test")
        handler = logging.StreamHandler(self.text)
        handler.setFormatter(JsonFormatter())
        self.logger.addHandler(handler)

    def line(self) -> dict[str, Any]:
        """Return the only line."""
        (line,) = self.text.getvalue().splitlines()

        def refuse(name: str) -> None:
            raise AssertionError(f"{name} is not JSON")

        found: dict[str, Any] = json.loads(line, parse_constant=refuse)
        return found


@pytest.fixture
def log() -> Iterator[Log]:
    raises, logging.raiseExceptions = logging.raiseExceptions, True
    yield Log()
    logging.raiseExceptions = raises


def test_extra_is_flattened_by_one_level(log: Log) -> None:
    log.logger.info("completed validations", extra={"accuracy": 0.97, "inner": {"deep": [1, {"x": None}]}})
    line = log.line()
    assert list(line) == [*FIRST, "accuracy", "inner"]
    assert line["message"] == "completed validations"
    assert (line["levelname"], line["process"]) == ("INFO", os.getpid())
    assert (line["accuracy"], line["inner"]) == (0.97, {"deep": [1, {"x": None}]})
    datetime.strptime(line["asctime"], "%Y-%m-%d %H:%M:%S,%f")


@pytest.mark.parametrize("key", FIRST)
def test_what_a_line_has_is_not_replaced_by_extra(log: Log, key: str) -> None:
    log.logger.info("text", extra={key: "mine"})
    line = log.line()
    assert line.pop(f"{key}_") == "mine"
    assert list(line) == FIRST
    assert line["message"] == "text"


@pytest.mark.parametrize("key", ["name", "args", "module", "labels", "lineno", "msg", "created", "taskName"])
def test_other_reserved_names_are_keys_like_any(log: Log, key: str) -> None:
    log.logger.info("text", extra={key: "mine"})
    assert log.line()[key] == "mine"


def test_keys_with_an_underscore_are_left_out(log: Log) -> None:
    log.logger.info("text", extra={"_hidden": 1, "shown": 2})
    assert list(log.line()) == [*FIRST, "shown"]


def test_a_message_that_is_a_dictionary_becomes_keys(log: Log) -> None:
    log.logger.warning({"message": "done", "count": 3}, extra={"count": 4})
    line = log.line()
    assert (line["message"], line["count"], line["count_"]) == ("done", 3, 4)


def test_an_exception_comes_with_its_traceback(log: Log) -> None:
    try:
        raise ValueError("no such country")
    except ValueError:
        log.logger.exception("failed", extra={"exc_info": "mine"})
    line = log.line()
    assert line["exc_info"].startswith("Traceback (most recent call last):\n")
    assert line["exc_info"].endswith("\nValueError: no such country")
    assert line["exc_info_"] == "mine"


class _Nasty:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (datetime(2021, 1, 19, 15, 14, 5), "2021-01-19T15:14:05"),
        (date(2021, 1, 19), "2021-01-19"),
        ({1}, "{1}"),
        (float("nan"), "nan"),
        ([1.5, float("inf")], [1.5, "inf"]),
        ({(1, 2): True}, {"(1, 2)": True}),
        (ValueError("wrong"), "wrong"),
        (_Nasty(), "<_Nasty>"),
        ({"inner": {_Nasty(): 1}}, {"inner": {"<_Nasty>": 1}}),
        ("\ud800", "\ud800"),
    ],
)
def test_what_json_does_not_have_becomes_text(log: Log, value: object, shown: object) -> None:
    log.logger.info("text", extra={"value": value})
    assert log.line()["value"] == shown


def test_a_value_that_contains_itself_is_shown_once(log: Log) -> None:
    value: list[Any] = [1]
    value += [value, value]
    log.logger.info("text", extra={"value": value})
    assert log.line()["value"] == [1, "[1, [...], [...]]", "[1, [...], [...]]"]


@pytest.mark.parametrize(("message", "arguments"), [("%d of %d", (1,)), ("%s", (_Nasty(),)), (_Nasty(), ())])
def test_a_message_that_does_not_fit_is_shown_as_it_is(
    log: Log, message: Any, arguments: tuple[Any, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    log.logger.info(message, *arguments)
    assert isinstance(log.line()["message"], str)
    assert capsys.readouterr().err == ""


KEYS = st.one_of(st.text(), st.sampled_from([*FIRST, "name", "args", "exc_info"]), st.integers(), st.none())
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.dates()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.tuples(st.integers())), inner, max_size=3),
    ),
    max_leaves=8,
)


@given(st.one_of(st.none(), VALUES, st.dictionaries(KEYS, VALUES, max_size=5)))
def test_any_extra_is_one_line_of_json_with_the_first_keys(extra: Any) -> None:
    log = Log()
    log.logger.info("text", extra=extra)
    line = log.line()
    assert list(line)[:4] == FIRST
    assert (line["message"], line["levelname"], line["process"]) == ("text", "INFO", os.getpid())


def test_a_program_logs_to_stdout_from_its_level_on() -> None:
    code = (
        "from cortex_internal.lib.log import logger\n"
        "import logging\n"
        "assert logger is logging.getLogger('cortex')\n"
        "logger.info('quiet'); logger.warning('loud', extra={'message': 1})"
    )
    environment = {**os.environ, "PYTHONPATH": str(RUNTIME), "CORTEX_LOG_LEVEL": "WARNING"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    (line,) = ran.stdout.splitlines()
    assert (json.loads(line)["message"], json.loads(line)["message_"], ran.stderr) == ("loud", 1, "")
