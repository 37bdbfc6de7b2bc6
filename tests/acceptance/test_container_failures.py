"""Whatever goes wrong with a batch or the containers of a worker, the job ends, its status says why, and no item is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.acceptance.apis import Apis, batches_of, letters_of, notes_of
from tests.acceptance.live import Live, until
from tests.queue_server import QueueServer, queue_server


@pytest.fixture(name="apis")
def apis_fixture(live: Live) -> Apis:
    made = Apis(live)
    made.serve()
    return made


@pytest.fixture(scope="module", name="queues")
def queues_fixture() -> Iterator[QueueServer]:
    with queue_server() as server:
        yield server


def test_a_batch_that_is_answered_with_500_is_dead_and_the_others_go_on(apis: Apis) -> None:
    notes = apis.server("picky", "def handle(items):\n    return 500 if 3 in items else 200")
    ended = apis.ended("picky", apis.items("picky", list(range(6)), 2))
    assert ended["status"] == "completed_with_failures"
    assert (ended["batch_metrics"]["succeeded"], ended["batch_metrics"]["failed"]) == (2, 1)
    assert batches_of(notes) == [[0, 1], [2, 3], [4, 5]], "without a queue a batch has one attempt"
    assert [payload for payload, _ in letters_of(apis)] == [2, 3]
    assert all("500" in cause for _, cause in letters_of(apis))
    assert [note["path"] for note in notes_of(notes)][-1] == "/on-job-complete"


@pytest.mark.parametrize("status", [201, 204, 302, 400])
def test_only_200_is_a_success(apis: Apis, status: int) -> None:
    apis.server("strange", f"def handle(items):\n    return {status}")
    ended = apis.ended("strange", apis.items("strange", [1]))
    assert (ended["status"], ended["batch_metrics"]["failed"]) == ("completed_with_failures", 1)
    assert str(status) in letters_of(apis)[0][1]


def test_with_a_queue_a_batch_is_retried_and_then_sent_there(apis: Apis, queues: QueueServer) -> None:
    """What the original promised. The queue gets the batch as the workers get it."""
    apis.live.environment |= queues.variables
    apis.kill_owner()
    arn = queues.make(queues.name(".fifo"))
    program = "def handle(items):\n    return 500 if 3 in items else 200"
    notes = apis.server("picky", program)
    queue = {"arn": arn, "max_receive_count": 2}
    submitted = apis.post(
        "picky", workers=2, item_list={"items": list(range(6)), "batch_size": 2}, sqs_dead_letter_queue=queue
    )
    assert submitted["sqs_dead_letter_queue"] == queue
    ended = apis.ended("picky", submitted["job_id"])
    assert ended["status"] == "completed_with_failures"
    assert (ended["batch_metrics"]["succeeded"], ended["batch_metrics"]["failed"]) == (2, 2)
    tries = [note for note in notes_of(notes) if note["path"] == "/" and note["body"] == [2, 3]]
    assert [note["headers"]["x-cortex-attempt"] for note in tries] == ["1", "2"]
    (batch_id,) = {note["headers"]["x-cortex-batch-id"] for note in tries}
    until(lambda: queues.count(arn), "the message")
    (message,) = queues.messages(arn)
    assert (message["items"], message["batch_id"], message["job_id"]) == ([2, 3], batch_id, submitted["job_id"])
    assert (message["api_name"], message["attempts"]) == ("picky", "2")
    assert len(letters_of(apis)) == 2, "they are here, too"


def test_a_batch_that_failed_once_and_then_succeeds_is_a_failed_attempt(apis: Apis) -> None:
    notes = apis.server(
        "moody", "seen = []\ndef handle(items):\n    seen.append(1)\n    return 500 if len(seen) == 1 else 200"
    )
    ended = apis.ended("moody", apis.items("moody", [1, 2], 2, max_receive_count=3))
    assert batches_of(notes) == [[1, 2]] * 2
    assert (ended["batch_metrics"]["succeeded"], ended["batch_metrics"]["failed"]) == (1, 1)
    assert ended["status"] == "completed_with_failures", "as in the original, it counts attempts"
    assert letters_of(apis) == []


def test_a_batch_that_takes_too_long_has_failed(apis: Apis) -> None:
    apis.live.gate("gate")
    program = (
        "def handle(items):\n    if 1 in items:\n        open(os.environ['ROOT'] + '/gate').read()\n    return 200"
    )
    apis.server("slow", program)
    ended = apis.ended("slow", apis.items("slow", [1, 2], batch_timeout=1))
    assert (ended["status"], ended["batch_metrics"]["succeeded"]) == ("completed_with_failures", 1)
    assert [payload for payload, _ in letters_of(apis)] == [1]
    assert "1 s" in letters_of(apis)[0][1]


@pytest.mark.parametrize("code", [0, 1])
def test_a_server_that_ends_with_work_left_is_replaced_until_it_makes_no_progress(apis: Apis, code: int) -> None:
    """Exit 0 with batches left is an error, too; the original counted the worker as succeeded."""
    notes = apis.server("leaves", f"def handle(items):\n    if 3 in items: os._exit({code})\n    return 200")
    ended = apis.ended("leaves", apis.items("leaves", list(range(6)), max_receive_count=1))
    assert ended["status"] in ("completed_with_failures", "worker_error")
    seen = batches_of(notes)
    assert seen.index([0]) < seen.index([3])
    if ended["status"] == "completed_with_failures":
        assert {tuple(batch) for batch in seen} == {(number,) for number in range(6)}
        assert ended["batch_metrics"]["succeeded"] == 5
        assert [payload for payload, _ in letters_of(apis)] == [3]


def test_a_worker_that_never_gets_ready_ends_the_job_with_the_reason(apis: Apis) -> None:
    apis.live.environment["FABRIC_JOBS_READY_SECONDS"] = "3"
    apis.kill_owner()
    probe = json.dumps({"http_get": {"port": 8080, "path": "/healthz"}, "period_seconds": 1})
    notes = apis.server("never", "def look(self):\n    self.answer(503)\nServer.do_GET = look", probe=probe)
    ended = apis.ended("never", apis.items("never", [1]))
    assert ended["status"] == "worker_error"
    assert "healthz" in ended["reason"] or "ready" in ended["reason"]
    assert batches_of(notes) == []


def test_malformed_json_in_the_middle_of_a_file_names_file_and_item(apis: Apis) -> None:
    notes = apis.server("reads")
    file = apis.live.root / "items.json"
    file.write_text("".join(f'{{"n": {number}}}\n' for number in range(50)) + '{"n": 50\n{"n": 51}\n')
    block = {"s3_paths": [str(file)], "batch_size": 10}
    ended = apis.ended("reads", apis.submit("reads", workers=1, delimited_files=block))
    assert ended["status"] == "enqueue_failed"
    assert "items.json" in ended["reason"]
    assert "item 50" in ended["reason"]
    assert len(batches_of(notes)) <= 5


def test_a_job_that_takes_too_long_times_out(apis: Apis) -> None:
    apis.live.gate("gate")
    apis.server("slow", "def handle(items):\n    open(os.environ['ROOT'] + '/gate').read()")
    ended = apis.ended("slow", apis.items("slow", [1], timeout=2))
    assert ended["status"] == "timed_out"


def test_a_failing_hook_is_said_in_the_status_and_the_job_has_succeeded(apis: Apis) -> None:
    apis.server("hooked", "def complete(body):\n    return 500")
    ended = apis.ended("hooked", apis.items("hooked", [1]))
    assert ended["status"] == "succeeded"
    assert "500" in ended["on_job_complete"]
