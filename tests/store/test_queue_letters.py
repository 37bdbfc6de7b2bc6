"""Dead batches of jobs that name a queue are kept until they are sent, refused or given up."""

from __future__ import annotations

import json

from fabric_jobs.states import ActivationState
from fabric_jobs.store import Store, activations, batches, channels, jobs, queue_letters, retention
from fabric_jobs.store.batches import Rules
from fabric_jobs.store.channels import Sender
from fabric_jobs.store.queue_letters import JobQueue, QueueLetter
from fabric_jobs.store.sent import Sent
from tests.factories import PROJECT, add_activation, add_channel, job
from tests.store.test_batches import Desk

RULES = Rules(size=2, receive_count=1, on_error="complete")
ARN = "arn:aws:sqs:us-west-2:123456789:failed.fifo"


def ready(store: Store, arn: str = ARN) -> Desk:
    """Return a desk whose job names a queue."""
    desk = Desk(store)
    store.write(lambda tx: jobs.create(tx, job(queue_arn=arn))).result()
    return desk


def die(desk: Desk, *firsts: int) -> None:
    """Let batches fail for good."""
    desk.take(0, RULES, 100)
    for first in firsts:
        desk.failed(0, first, RULES)


def queue(store: Store) -> JobQueue:
    found = queue_letters.of_job(store.read, "a1")
    assert found is not None
    return found


def letters(store: Store) -> list[QueueLetter]:
    return queue_letters.letters(store.read, queue(store), 100)


def test_a_dead_batch_waits_for_its_queue_with_the_exact_text_of_its_items(store: Store) -> None:
    desk = ready(store)
    text = b'{"b":1.0,"a" : 1e2}\n"\xc3\xa9"\n[ ]\n'
    sender = Sender(activation_id="a1", sending_id=channels.of_activation(store.read, "a1")[0].sending_id)
    store.write(lambda tx: channels.append(tx, sender, Sent(output="items", count=3, bytes=text))).result()
    assert not queue_letters.some_open(store.read)
    die(desk, 0, 2)
    assert queue_letters.some_open(store.read)
    assert [letter.body for letter in letters(store)] == [b'[{"b":1.0,"a" : 1e2},"\xc3\xa9"]', b"[[ ]]"]
    assert [letter.batch_id for letter in letters(store)] == [
        batches.batch_id("a1", desk.channel_id, first) for first in (0, 2)
    ]
    assert (queue(store).api_name, queue(store).arn, queue(store).waiting) == ("api", ARN, 2)


def test_a_job_without_a_queue_and_an_activation_that_is_no_job_keep_dead_letters_only(store: Store) -> None:
    desk = ready(store, arn="")
    desk.add(2)
    die(desk, 0)
    assert queue_letters.of_job(store.read, "a1") is None
    assert desk.letters() == [0, 1]


def test_a_batch_that_no_queue_takes_is_a_dead_letter_and_the_reason_is_kept(store: Store) -> None:
    desk = ready(store)
    long = json.dumps("x" * (queue_letters.LARGEST_BYTES // 2)).encode() + b"\n"
    sender = Sender(activation_id="a1", sending_id=channels.of_activation(store.read, "a1")[0].sending_id)
    store.write(lambda tx: channels.append(tx, sender, Sent(output="items", count=2, bytes=long * 2))).result()
    die(desk, 0)
    assert (queue(store).waiting, queue(store).refused, letters(store)) == (0, 1, [])
    assert "longer than 1,048,576 bytes" in queue(store).failure
    assert not queue_letters.some_open(store.read)
    assert desk.letters() == [0, 1]


def test_what_is_sent_or_refused_is_forgotten_once(store: Store) -> None:
    desk = ready(store)
    desk.add(6)
    die(desk, 0, 2, 4)
    one, two, three = letters(store)
    for _ in range(2):
        store.write(
            lambda tx: queue_letters.done(tx, queue(store), [one.letter_id], {two.letter_id: "too long"})
        ).result()
    found = queue(store)
    assert (found.waiting, found.sent, found.refused) == (1, 1, 1)
    assert letters(store) == [three]


def test_a_queue_that_fails_waits_and_is_given_up_until_somebody_asks_or_a_batch_dies(store: Store) -> None:
    desk = ready(store)
    desk.add(4)
    die(desk, 0)
    store.write(lambda tx: queue_letters.failed(tx, queue(store), "no such queue", 50.0, given_up=False)).result()
    assert queue_letters.due(store.read, 49.0, 9) == []
    assert queue_letters.next_at(store.read, 49.0) == 50.0
    assert [found.tries for found in queue_letters.due(store.read, 50.0, 9)] == [1]
    store.write(lambda tx: queue_letters.failed(tx, queue(store), "no such queue", 60.0, given_up=True)).result()
    assert not queue_letters.some_open(store.read)
    assert queue_letters.due(store.read, 99.0, 9) == []
    desk.failed(0, 2, RULES)
    assert [found.waiting for found in queue_letters.due(store.read, 99.0, 9)] == [2], "one more try"
    store.write(lambda tx: queue_letters.failed(tx, queue(store), "no such queue", 999.0, given_up=True)).result()
    assert store.write(lambda tx: queue_letters.retry(tx, "a1")).result()
    assert [found.tries for found in queue_letters.due(store.read, 1.0, 9)] == [0]


def test_a_job_is_not_pruned_while_its_batches_are_being_sent(store: Store) -> None:
    desk = ready(store)
    desk.add(2)
    die(desk, 0)
    for task in desk.workers:
        store.write(
            lambda tx, task=task: tx.connection.execute(  # type: ignore[misc]
                "update tasks set state = 'COMPLETE' where task_id = ?", (task.task_id,)
            )
        ).result()
    activation = activations.find(store.read, "a1")
    assert activation is not None
    store.write(lambda tx: activations.end(tx, activation, ActivationState.COMPLETE)).result()
    add_later(store)
    assert retention.prunable(store.read, PROJECT, dead_letters=True) == []
    store.write(lambda tx: queue_letters.failed(tx, queue(store), "no", 0.0, given_up=True)).result()
    (found,) = retention.prunable(store.read, PROJECT, dead_letters=True)
    assert store.write(lambda tx: retention.hide(tx, [found.activation_id], PROJECT, dead_letters=True)).result()
    while not store.write(lambda tx: retention.delete_some(tx, ["a1"])).result():
        pass
    assert queue_letters.of_job(store.read, "a1") is None
    assert store.read.connection.execute("select count(*) from queue_letters").fetchone()[0] == 0


def add_later(store: Store) -> None:
    """Add a newer activation that has the highest numbers, so that the first may be deleted."""
    add_activation(store, "a2", project_id="other")
    values = "('other', 't9', 'a2', 'b.in', 'b', 'b', 'stream', 'COMPLETE', 1.0)"
    columns = "(project_id, name, activation_id, node, skill_name, action_name, receives, state, created_at)"
    store.write(lambda tx: tx.connection.execute(f"insert into tasks {columns} values {values}")).result()
    add_channel(store, "", "b.in", wire=0, activation_id="a2")
    letter = (
        "insert into dead_letters (project_id, activation_id, channel_id, record_offset, task_id, skill_name, payload, error,"
        " on_error, attempts, dead_at) select 'other', 'a2', max(channel_id), 0, (select max(task_id) from tasks), 's', x'', '{}',"
        " 'continue', 1, 0 from channels"
    )
    store.write(lambda tx: tx.connection.execute(letter)).result()
