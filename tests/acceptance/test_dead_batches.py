"""Dead batches and the queue that their job names, with the installed command and a server that speaks SQS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.apis import Apis
from tests.acceptance.live import PROJECT, Live, until
from tests.queue_server import QueueServer, queue_server

PICKY = """
class Handler:
    def __init__(self, config):
        pass

    def handle_batch(self, payload):
        if 3 in payload:
            raise ValueError("no threes")
"""


@pytest.fixture(scope="module", name="queues")
def queues_fixture() -> Iterator[QueueServer]:
    with queue_server() as server:
        yield server


@pytest.fixture(name="apis")
def apis_fixture(live: Live, queues: QueueServer) -> Apis:
    live.environment |= queues.variables
    return Apis(live)


def test_an_idle_owner_ends_only_after_its_dead_batches_are_sent(apis: Apis, queues: QueueServer) -> None:
    """The queue is made later; the errors of the tries before are in the status."""
    live, arn = apis.live, queues.name()
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "0.3"
    apis.handler("picky", PICKY)
    queue = {"arn": arn, "max_receive_count": 1}
    live.ok("jobs", "apis")  # the owner runs, and the next call finds it
    job_id = apis.items("picky", [1, 2, 3, 4], 2, sqs_dead_letter_queue=queue)
    ended = apis.ended("picky", job_id)
    assert ended["status"] == "completed_with_failures"
    until(lambda: apis.status("picky", job_id)["queued_batches"]["error"], "an error")
    told = apis.status("picky", job_id)["queued_batches"]
    assert (told["waiting"], told["sent"], told["given_up"]) == (1, 0, False)
    assert "does not exist" in told["error"]
    queues.make(arn)
    until(lambda: live.address() is None, "the owner ends")
    assert [message["items"] for message in queues.messages(arn)] == [[3, 4]]
    found = live.ok("jobs", "get", job_id, "-o", "json").value
    assert (found.get("job") or found)["queued_batches"]["sent"] == 1


def test_a_queue_is_tried_again_at_once_when_asked(apis: Apis, queues: QueueServer) -> None:
    apis.serve()
    arn = queues.name()
    apis.handler("picky", PICKY)
    queue = {"arn": arn, "max_receive_count": 1}
    job_id = apis.items("picky", [3], sqs_dead_letter_queue=queue)
    until(lambda: apis.status("picky", job_id).get("queued_batches", {}).get("error"), "a try")
    queues.make(arn)
    path = f"{PROJECT}/jobs/{job_id}/queue/retry"
    assert apis.call("POST", path, {}).status == 200
    until(lambda: apis.status("picky", job_id)["queued_batches"]["sent"] == 1, "it is sent")
    assert [message["error"] for message in queues.messages(arn)] == ["ValueError: no threes"]
    refused = apis.call("POST", path, {})
    assert (refused.status, "no dead batch that waits" in refused.text) == (400, True)


@pytest.mark.parametrize("arn", ["failed", "https://sqs.us-west-2.amazonaws.com/123456789/failed", "arn:aws:sns:x:1:y"])
def test_what_is_no_queue_is_refused_with_the_submission(apis: Apis, arn: str) -> None:
    apis.serve()
    apis.handler("picky", PICKY)
    queue = {"arn": arn, "max_receive_count": 1}
    body = {"workers": 1, "item_list": {"items": [1], "batch_size": 1}, "sqs_dead_letter_queue": queue}
    answer = apis.call("POST", "/picky", body)
    assert (answer.status, answer.json["kind"]) == (400, "error")
    assert answer.json["message"].startswith("sqs_dead_letter_queue: arn: ")
