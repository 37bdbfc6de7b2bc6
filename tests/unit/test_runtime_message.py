"""`message`, `logger`, and a program that runs on its own, without a gateway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.executors.program import RUNTIME

IMPORT = "import sys\nfrom fabric_skill import flush, logger, message, messages, send_message\n"


def run(
    code: str, *arguments: str, stdin: str = "", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("CORTEX_", "FABRIC_"))}
    return subprocess.run(
        [sys.executable, "-c", IMPORT + code, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**clean, "PYTHONPATH": str(RUNTIME), **(environment or {})},
    )


def shown(*arguments: str, **environment: str) -> Any:
    """Return the message that a program gets."""
    done = run("import json\nprint(json.dumps(message()))", *arguments, environment=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# The message


def test_the_message_is_the_last_argument() -> None:
    assert shown("--fast", '{"payload": {"n": 1}, "properties": {}}') == {"payload": {"n": 1}, "properties": {}}


def test_the_variable_does_when_the_last_argument_is_none() -> None:
    wanted = '{"payload": 2}'
    for arguments in ((), ("--fast",), ("[1]",), ("",)):
        assert shown(*arguments, CORTEX_PAYLOAD=wanted) == {"payload": 2}


def test_the_argument_comes_before_the_variable() -> None:
    assert shown('{"payload": 1}', CORTEX_PAYLOAD='{"payload": 2}') == {"payload": 1}


def test_a_payload_in_a_file_makes_no_difference(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"text": "žluť"}', encoding="utf-8")
    found = shown(json.dumps({"payloadFile": str(tmp_path / "p.json"), "outputName": "out"}))
    assert found["payload"] == {"text": "žluť"}


def test_without_a_message_the_program_says_what_to_do() -> None:
    done = run("message()")
    assert done.returncode == 1
    assert "There is no message" in done.stderr
    assert "fabric-jobs skills invoke" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_message_is_read_once() -> None:
    done = run("message()['x'] = 1\nprint(message())", '{"payload": null}')
    assert done.stdout == "{'payload': None, 'x': 1}\n"


# On its own


def test_by_itself_a_program_reads_and_prints_ndjson() -> None:
    code = "for record in messages():\n    send_message({'seen': record})\n    flush()\n"
    done = run(code, '{"payload": null}', stdin='1\n\n{"a": "b"}\n  \n[2]')
    assert done.stdout == '{"seen":1}\n{"seen":{"a":"b"}}\n{"seen":[2]}\n'
    assert (done.returncode, done.stderr) == (0, "")


def test_by_itself_a_program_needs_no_message_to_send() -> None:
    done = run("send_message({'n': 1}, 'errors', wait=True)")
    assert (done.stdout, done.returncode) == ('{"n":1}\n', 0)


def test_by_itself_what_is_not_json_is_refused_too() -> None:
    done = run("send_message(float('nan'))")
    assert "ValueError" in done.stderr
    assert done.stdout == ""


# The log


def test_a_log_line_is_one_json_object_on_stderr() -> None:
    code = "logger.info('sent %d', 3, extra={'order': 'A7'})\nlogger.debug('not this')\n"
    done = run(code)
    (line,) = done.stderr.splitlines()
    entry = json.loads(line)
    assert entry["time"].endswith("Z")
    assert {key: entry[key] for key in ("level", "message", "order")} == {
        "level": "INFO",
        "message": "sent 3",
        "order": "A7",
    }
    assert done.stdout == ""


def test_an_exception_is_part_of_its_line() -> None:
    done = run("try: 1 / 0\nexcept ZeroDivisionError: logger.exception('oh', extra={'odd': object()})")
    (line,) = done.stderr.splitlines()
    entry = json.loads(line)
    assert "ZeroDivisionError" in entry["exception"]
    assert entry["odd"].startswith("<object")


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    done = run("import fabric_skill\nfabric_skill.nonsense")
    assert "has no attribute 'nonsense'" in done.stderr


@pytest.mark.parametrize("module", ["logging", "http", "asyncio", "dataclasses"])
def test_the_first_import_is_small(module: str) -> None:
    clean = {"PYTHONPATH": str(RUNTIME), "PATH": os.environ["PATH"]}
    code = "import fabric_skill, sys; print(sorted(name for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=clean)
    assert f"'{module}'" not in done.stdout
