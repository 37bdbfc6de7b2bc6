"""A program rejects records: each becomes a dead letter with its reason and without output, and the program goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fabric_jobs.runtime
from tests.acceptance.live import Live

COUNT = "for n in range(message()['payload']): send_message(n)"
STREAM = """
from fabric_skill import reject
for n in messages():
    send_message(n * 10)
    if n % 3 == 1:
        reject(n, "one too many", n=n, at={"row": [n]})
"""
AGGREGATOR = """
from fabric_skill import reject
found = []
for n in messages(acknowledge="end"):
    if n % 3 == 1:
        send_message("not this")
        reject(n, ValueError("one too many"), n=n)
    else:
        found.append(n)
send_message(found)
"""
MESSAGE = """
from fabric_skill import reject
n = message()["payload"]
if n % 3 == 1:
    reject(n, "one too many", n=n)
else:
    send_message(n * 10)
print("not this")
"""


@pytest.fixture(autouse=True, params=[False, True], ids=["cold", "warm"])
def _warm(request: pytest.FixtureRequest, live: Live) -> None:
    live.warm = request.param


def letters(live: Live) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = live.ok("deadletters", "list", "-o", "json").value
    return found


def line(live: Live, program: str, **action: Any) -> None:
    live.skill("source", COUNT)
    live.skill("each", program, **action)
    live.agent("line", ("input", "source"), ("source", "each"), ("each", "output"))


def attempts(live: Live) -> list[int]:
    return [task["attempt"] for task in live.ok("tasks", "list", "--skill", "each", "-o", "json").value]


@pytest.mark.parametrize(
    ("program", "receives", "response", "reason"),
    [
        (STREAM, "stream", [0, 20, 30, 50], "one too many"),
        (AGGREGATOR, "stream", [0, 2, 3, 5], "ValueError: one too many"),
        (MESSAGE, "message", [0, 20, 30, 50], "one too many"),
    ],
    ids=["stream", "aggregator", "message"],
)
def test_rejected_records_are_dead_letters_and_the_program_goes_on(
    live: Live, program: str, receives: str, response: list[int], reason: str
) -> None:
    line(live, program, receives=receives, onError="continue")
    ran = live.run("agents", "invoke", "line", "--payload", 6, "-o", "json")
    assert (ran.code, ran.value["status"]) == (1, "ERROR")
    assert f"2 records are dead letters; the first: skill 'each' failed: {reason}" in ran.value["cause"]
    assert sorted(ran.value["response"]) == response
    assert set(attempts(live)) == {1}
    found = sorted(letters(live), key=lambda letter: str(letter["record"]["offset"]))
    assert [(letter["record"]["offset"], letter["cause"], letter["attempts"]) for letter in found] == [
        (1, reason, 1),
        (4, reason, 1),
    ]
    shown = live.ok("deadletters", "show", found[0]["id"], "-o", "json").value
    assert (shown["payload"], shown["error"]["details"]["n"]) == (1, 1)
    assert shown["record"]["mapping"] == "source.response → each"


def test_under_complete_the_activation_is_complete(live: Live) -> None:
    line(live, STREAM, receives="stream", onError="complete")
    record = live.invoke("line", 6, kind="agents")
    assert (record["status"], record["deadLetters"], record["response"]) == ("COMPLETE", 2, [0, 20, 30, 50])


@pytest.mark.parametrize(("program", "receives"), [(STREAM, "stream"), (AGGREGATOR, "stream"), (MESSAGE, "message")])
def test_under_fail_the_activation_fails_with_the_record(live: Live, program: str, receives: str) -> None:
    line(live, program, receives=receives, retries={"limit": 3, "backoff_seconds": 60})
    ran = live.run("agents", "invoke", "line", "--payload", 2, "-o", "json")
    assert ran.value["status"] == "ERROR"
    assert ran.value["cause"].startswith("skill 'each' failed: ")
    error = ran.value["error"]
    assert (error["record"]["offset"], error["details"]["n"]) == (1, 1)
    assert "one too many" in error["reason"]
    assert letters(live) == []


def test_a_program_that_fails_after_it_has_rejected_its_message_is_not_tried_again(live: Live) -> None:
    line(
        live, MESSAGE + "os._exit(3 if n == 1 else 0)", onError="continue", retries={"limit": 3, "backoff_seconds": 60}
    )
    record = live.run("agents", "invoke", "line", "--payload", 2, "-o", "json").value
    assert record["response"] == 0
    assert [letter["cause"] for letter in letters(live)] == ["one too many"]


def test_a_record_that_is_rejected_last_and_not_left_is_a_dead_letter(live: Live) -> None:
    line(live, STREAM + "        break", receives="stream", onError="continue")
    record = live.run("agents", "invoke", "line", "--payload", 6, "-o", "json").value
    assert record["response"] == 0
    assert [letter["record"]["offset"] for letter in letters(live)] == [1]


def test_what_cannot_be_rejected_is_an_error_of_the_program(live: Live) -> None:
    program = """
    from fabric_skill import reject
    said = []
    def attempt(call, *given):
        try:
            call(*given)
        except (RuntimeError, ValueError) as error:
            said.append(f"{type(error).__name__}: {error}")
    for n in messages():
        if n == 0:
            attempt(reject, 99, "another record")
            attempt(reject, n, "  ")
            reject(n, "bad " * 1000, error=ValueError("text"), long="x" * 9000)
            reject(n, "only the first counts")
            attempt(send_message, 1)
    attempt(reject, 1, "there is none")
    send_message(said)
    """
    line(live, program, receives="stream", onError="continue")
    ran = live.run("agents", "invoke", "line", "--payload", 2, "-o", "json")
    kinds = [text.partition(":")[0] for text in ran.value["response"]]
    assert kinds == ["ValueError", "ValueError", "RuntimeError", "RuntimeError"]
    (letter,) = letters(live)
    assert letter["cause"].startswith("bad bad ")
    assert len(letter["cause"]) <= 1000
    assert letter["error"]["details"]["cut"].startswith('{"error": "text", "long": "xxx')
    assert len(letter["error"]["details"]["cut"]) == 8000


def test_outside_fabric_jobs_rejecting_prints_to_stderr() -> None:
    runtime = str(Path(next(iter(fabric_jobs.runtime.__path__))))
    program = f"""
import sys
sys.path.insert(0, {runtime!r})
from fabric_skill import messages, reject, send_message
for record in messages():
    if record["n"]:
        reject(record, "no zero", n=record["n"])
    else:
        send_message(record)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, '{"payload": {}}'],
        input='{"n": 0}\n{"n": 1}\n',
        capture_output=True,
        text=True,
        check=True,
        env={},
    )
    assert ran.stdout == '{"n":0}\n'
    assert ran.stderr == 'fabric_skill: rejected: no zero: {"n": 1} {"n": 1}\n'


@pytest.mark.parametrize(
    ("death", "cause"),
    [
        ("raise ValueError('bad')", "ValueError: bad"),
        ("from fabric_skill import DoNotRetry; raise DoNotRetry('never')", "fabric_skill.DoNotRetry: never"),
        ("json.loads('{')", "json.decoder.JSONDecodeError: Expecting property name"),
        ("sys.exit(3)", "exit code 3"),
        ("os.kill(os.getpid(), 9)", "exit code 137 (killed by SIGKILL)"),
    ],
)
@pytest.mark.parametrize("receives", ["stream", "message"])
def test_the_cause_of_a_dead_letter_is_the_exception(live: Live, death: str, cause: str, receives: str) -> None:
    loop = "for n in messages():" if receives == "stream" else "for n in [message()['payload']]:"
    live.skill("each", f"{loop}\n    {death}", receives=receives, onError="continue")
    ran = live.run("skills", "invoke", "each", "--payload", 1, "-o", "json")
    assert ran.code == 1
    (letter,) = letters(live)
    assert letter["cause"].startswith(cause)
    assert f"failed: {cause}" in ran.value["cause"]
