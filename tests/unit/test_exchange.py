"""The call between a worker and its gateway, with threads, lost connections and large reports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs.runtime.cortex_worker.exchange import HELD, QUICK_SECONDS, Pace, read
from tests.small_gateway import SmallGateway, ends

THREADS = """
import queue, threading
from cortex_worker.exchange import Exchange

exchange, work, most = Exchange(), queue.Queue(), 0

def handle():
    while True:
        batch = work.get()
        exchange.succeeded(batch, 0.001, (batch.body.decode(),))

for _ in range(4):
    threading.Thread(target=handle, daemon=True).start()
while True:
    answer = exchange.take(4)
    for batch in answer.batches:
        work.put(batch)
    most = max(most, len(answer.batches))
    if answer.complete is not None:
        exchange.completed(200)
    if answer.end:
        break
print(most)
"""
LARGE = """
from cortex_worker.exchange import Exchange

exchange = Exchange()
while True:
    answer = exchange.take(5)
    for batch in answer.batches:
        exchange.succeeded(batch, 0.001, ('"' + 600_000 * "x" + '"',))
    if answer.complete is not None:
        exchange.completed(200)
    if answer.end:
        break
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[SmallGateway]:
    made = SmallGateway(tmp_path)
    yield made
    made.close()


def test_threads_handle_every_batch_once_though_connections_are_lost(gateway: SmallGateway) -> None:
    batches = gateway.state.batches
    batches.items = [[place] for place in range(200)]
    program = gateway.run(THREADS)
    for number, lose in enumerate(("before", "after") * 5, start=1):
        gateway.state.until(lambda number=number: len(batches.done) >= 10 * number)  # type: ignore[misc]
        gateway.state.set(lose=lose)
    out, _ = ends(program)
    assert 0 < int(out) <= 4
    assert batches.done == {100 * place: [[place]] for place in range(200)}
    assert set(batches.attempts.values()) == {1}
    assert batches.completed == [{"status": 200, "error": ""}]


def test_large_results_are_sent_before_there_are_too_many(gateway: SmallGateway) -> None:
    batches = gateway.state.batches
    batches.items = [[place] for place in range(5)]
    ends(gateway.run(LARGE))
    assert [len(call["done"]) for call in batches.calls if call["done"]] == [1, 1, 1, 1, 1]
    assert len(batches.done) == 5


def test_an_answer_is_a_line_and_its_batches() -> None:
    body = b'{"batches": [[5, 0, 2, 1, "a", 6], [5, 2, 1, 3, "b", 4]], "complete": null, "end": false}\n[1,2]\n[3]\n'
    answer = read(body)
    assert [(batch.key, batch.size, batch.attempt, batch.batch_id, batch.body) for batch in answer.batches] == [
        ((5, 0), 2, 1, "a", b"[1,2]"),
        ((5, 2), 1, 3, "b", b"[3]"),
    ]
    assert (answer.complete, answer.end, answer.lease) == (None, False, 0.0)


def test_only_quick_batches_are_fetched_ahead() -> None:
    pace = Pace(2)
    assert pace.wanted == 2
    pace.note(0.0)
    assert pace.wanted == HELD
    pace.note(QUICK_SECONDS / 2)
    assert pace.wanted == 4
    pace.note(600)
    assert pace.wanted == 2
    for _ in range(200):
        pace.note(0.0)
    assert pace.wanted == HELD
