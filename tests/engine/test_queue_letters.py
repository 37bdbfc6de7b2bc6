"""Dead batches reach the queue of their job, whatever happens on the way; moto's server is the queue."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs import sqs
from fabric_jobs.engine.queue_letters import TRIES, Outbox
from fabric_jobs.store import Store, Tx, batches, jobs, queue_letters
from fabric_jobs.store.batches import Rules
from fabric_jobs.store.channels import Sender, append, inbound
from fabric_jobs.store.queue_letters import JobQueue
from fabric_jobs.store.sent import Sent
from tests.acceptance.live import until
from tests.factories import job, ndjson
from tests.queue_server import QueueServer, queue_server
from tests.store.test_batches import NODE, Desk, Time

RULES = Rules(size=2, receive_count=1, on_error="complete")


@pytest.fixture(scope="module", name="server")
def server_fixture() -> Iterator[QueueServer]:
    with queue_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _variables(server: QueueServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


class Office:
    """A store with a job that names a queue, and the outbox; time passes when the test says so."""

    def __init__(self, directory: Path, arn: str) -> None:
        self.store = Store(directory / "state.db")
        self.clock = Time()
        self.desk = Desk(self.store)
        self.store.write(lambda tx: jobs.create(tx, job(queue_arn=arn))).result()
        self.outbox = self.open()

    def open(self) -> Outbox:
        """Return another outbox, as the next owner has it."""
        return Outbox(self.store, self.clock.time)

    def close(self) -> None:
        self.outbox.close()
        self.store.close()

    def die(self, *items: object, error: str = "it said 500") -> list[str]:
        """Let batches of these items fail for good; return their ids."""
        task, (channel,) = self.desk.workers[0], inbound(self.store.read, "a1", NODE)
        sender = Sender(activation_id="a1", sending_id=channel.sending_id)
        sent = Sent(output="items", count=len(items), bytes=ndjson(items))
        self.store.write(lambda tx: append(tx, sender, sent)).result()
        taken = self.desk.take(0, RULES, 100)

        def operation(tx: Tx) -> None:
            said = [batches.Failed(*batch[:2], error, 0.1) for batch in taken]
            batches.report(tx, task.task_id, task.attempt, batches.Report(failed=tuple(said)), RULES)

        self.store.write(operation).result()
        return [batches.batch_id("a1", channel.channel_id, batch.first) for batch in taken]

    @property
    def queue(self) -> JobQueue:
        found = queue_letters.of_job(self.store.read, "a1")
        assert found is not None
        return found

    def until(self, **values: object) -> None:
        """Wait until the queue's row has these values."""
        until(lambda: {**self.queue._asdict(), **values} == self.queue._asdict(), f"{values}, not {self.queue}")

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.outbox.wake()


@pytest.fixture(name="office")
def office_fixture(server: QueueServer, tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path, server.make())
    yield made
    made.close()


@pytest.mark.parametrize("suffix", ["", ".fifo"])
def test_dead_batches_arrive_with_what_is_known_of_them(server: QueueServer, tmp_path: Path, suffix: str) -> None:
    arn = server.make(server.name(suffix))
    office = Office(tmp_path, arn)
    ids = office.die(*({"n": number} for number in range(51)))
    office.until(waiting=0, sent=26)
    found = {message["batch_id"]: message for message in server.messages(arn)}
    assert found.keys() == set(ids)
    assert [found[name]["items"] for name in ids[:2]] == [[{"n": 0}, {"n": 1}], [{"n": 2}, {"n": 3}]]
    last = found[ids[-1]]
    assert last["items"] == [{"n": 50}]
    assert (last["job_id"], last["api_name"], last["attempts"], last["error"]) == ("a1", "api", "1", "it said 500")
    assert not suffix or len({message["group"] for message in found.values()}) == 26, "nobody has to wait for another"
    office.close()


def test_no_character_of_an_item_or_an_error_is_an_obstacle(office: Office, server: QueueServer) -> None:
    text = "".join(map(chr, (0, 8, 0x7F, 0xFFFE, 0xFFFF, 0x1F600))) + "ü\u2028"
    raw = json.dumps(text, ensure_ascii=False)
    office.die(text, json.loads(raw), error=f"a\x00b{text}" + "x" * 5000)
    office.until(sent=1)
    (message,) = server.messages(office.queue.arn)
    assert message["items"] == [text, text]
    assert message["error"].startswith("a\ufffdb")
    assert len(message["error"]) == sqs.ATTRIBUTE_CHARACTERS


def test_a_queue_that_is_not_there_is_tried_again_until_it_is(server: QueueServer, tmp_path: Path) -> None:
    arn = server.name(".fifo")
    office = Office(tmp_path, arn)
    office.die(1)
    for tries in range(1, 5):
        office.until(tries=tries)
        assert office.queue.next_at == office.clock.now + 2.0 ** (tries - 1)
        assert "queue does not exist" in office.queue.failure
        if tries == 4:
            server.make(arn)
        office.pass_time(2.0 ** (tries - 1))
    office.until(waiting=0, sent=1, tries=0, failure="")
    assert [message["items"] for message in server.messages(arn)] == [[1]]
    office.close()


def test_a_server_that_cannot_be_reached_is_given_up_and_asked_again_when_somebody_says_so(
    office: Office, server: QueueServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqs, "TRIES", 1)  # of one call
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    office.die(1, 2)
    for tries in range(1, TRIES + 1):
        office.until(tries=tries, given_up=int(tries == TRIES))
        office.pass_time(601.0)
    assert "Could not connect" in office.queue.failure
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.variables["AWS_ENDPOINT_URL"])
    office.outbox.close()
    office.outbox = office.open()  # whose clients use the new address
    office.outbox.start()
    assert office.store.write(lambda tx: queue_letters.retry(tx, "a1")).result()
    office.until(waiting=0, sent=1, given_up=0)
    assert [message["items"] for message in server.messages(office.queue.arn)] == [[1, 2]]


def test_what_one_owner_leaves_the_next_one_sends(office: Office, server: QueueServer) -> None:
    office.outbox.close()
    office.die(1)
    office.outbox = office.open()
    office.outbox.start()
    office.until(sent=1)
    assert len(server.messages(office.queue.arn)) == 1


def test_a_batch_that_the_queue_refuses_holds_up_no_others(server: QueueServer, tmp_path: Path) -> None:
    arn = server.make(MaximumMessageSize="1024")
    office = Office(tmp_path, arn)
    office.die("a", "b", "x" * 3000, "c", "d")
    office.until(waiting=0, sent=2, refused=1)
    assert sorted(message["items"] for message in server.messages(arn)) == [["a", "b"], ["d"]]
    office.close()


def test_a_name_that_is_no_arn_fails_with_words(tmp_path: Path) -> None:
    office = Office(tmp_path, "failed")
    office.die(1)
    office.until(tries=1)
    assert office.queue.failure == "'failed' is not the ARN of an SQS queue."
    office.close()
