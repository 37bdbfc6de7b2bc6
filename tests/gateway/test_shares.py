"""The workers of a stream: none is told that its input has ended while another one may give records back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from fabric_jobs.runtime.fabric_skill.http import Answer
from fabric_jobs.settings import Settings
from tests.acceptance.live import Live, until
from tests.gateway.test_jobs import Job
from tests.gateway.test_users import Caller

HOLD = """
for place in [ROOT / ("worker-" + os.environ["FABRIC_JOBS_ATTEMPT"])]:
    os.mkfifo(place.with_suffix(".gate"))
    place.with_suffix(".part").write_text(json.dumps({
        **message(), "attempt": os.environ["FABRIC_JOBS_ATTEMPT"], "socket": os.environ["FABRIC_JOBS_SOCKET"]
    }))
    place.with_suffix(".part").rename(place)
    open(place.with_suffix(".gate")).read()
    if (ROOT / "fails").exists():
        sys.exit(3)
"""
COUNT = 8


class Worker(Job):
    """Makes the calls of one of two workers, whose own program only waits."""

    def __init__(self, live: Live, attempt: str) -> None:
        self.message = json.loads((live.root / f"worker-{attempt}").read_text())
        self.attempt, self.sequence = attempt, 0
        self.below = 0  # what it has got

    def ask(self, acknowledge: str = "record") -> Answer:
        answer = self.call(
            "GET",
            f"attempts/{self.attempt}/pull?sender=s{self.attempt}&acknowledge={acknowledge}&at={self._at()}",
        )
        if answer.status == 200:
            self.channel = int(answer.headers["x-fabric-channel"])
            self.below = int(answer.headers["x-fabric-first"]) + answer.body.count(b"\n")
        return answer

    def finish(self, first: int, below: int = 0) -> None:
        """Finish what it has got, from a record to below another one; its program may end now."""
        acks = [[self.channel, first, below or self.below]]
        assert self.commit(sender=f"s{self.attempt}", acks=acks).status == 200

    def send(self, records: bytes) -> Answer:
        """Send records; answered once there is credit for them."""
        count = records.count(b"\n")
        return self.commit(records, sender=f"s{self.attempt}", open=True, outputs=[["response", count, len(records)]])

    def _at(self) -> str:
        return f"{self.channel}:{self.below}" if self.below else ""


@pytest.fixture
def pair(live: Live) -> tuple[Worker, Worker]:
    """Two workers of a stream that is all there."""
    live.skill("source", f"for n in range({COUNT}): send_message(n)")
    live.skill("each", HOLD, receives="stream", workers=2, retries={"limit": 1, "backoff_seconds": 60})
    live.skill("last", "open(ROOT / 'never').read()", receives="stream")
    live.agent("line", ("input", "source"), ("source", "each"), ("each", "last"), ("last", "output"))
    os.mkfifo(live.root / "never")
    activation = live.detach("line", kind="agents")
    until(lambda: live.progress(activation)["source"]["tasks"].get("COMPLETE"), "all records are there")
    until(lambda: len(attempts(live)) == 2, "both workers run")
    first, second = (Worker(live, attempt) for attempt in attempts(live))
    return first, second


def attempts(live: Live) -> list[str]:
    """Return the attempts whose programs run."""
    return sorted(path.name.removeprefix("worker-") for path in live.root.glob("worker-*") if not path.suffix)


@contextmanager
def asking(live: Live, worker: Worker) -> Iterator[Future[Answer]]:
    """Yield the call of a worker that waits for more."""
    connection = Caller(live)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(worker.ask)
        until(
            lambda: asked.done() or b"fabric_jobs_http_waiting 1" in connection.call("GET", "/metrics").body, "it waits"
        )
        assert not asked.done(), asked.result()
        yield asked


def shared(first: Worker, second: Worker) -> tuple[int, int]:
    """Let the first worker have one share, and the second one finish all others; return the first share."""
    assert first.ask().status == 200
    while second.below < COUNT:
        begin = second.below
        assert second.ask().status == 200
        second.finish(max(begin, first.below))
    return 0, first.below


def test_what_a_worker_leaves_behind_goes_to_the_one_that_is_at_the_end(
    live: Live, pair: tuple[Worker, Worker]
) -> None:
    first, second = pair
    begin, below = shared(first, second)
    with asking(live, second) as asked:
        first.finish(begin, begin + 1)
        live.release(live.root / f"worker-{first.attempt}.gate")
        assert asked.result().status == 200
    assert int(asked.result().headers["x-fabric-first"]) == begin + 1
    assert second.below == below
    second.finish(begin + 1)
    assert second.ask().headers["x-fabric-end"] == "1"


def test_the_end_comes_once_the_others_have_finished(live: Live, pair: tuple[Worker, Worker]) -> None:
    first, second = pair
    begin, below = shared(first, second)
    with asking(live, second) as asked:
        first.finish(begin)
        assert (asked.result().status, asked.result().headers["x-fabric-end"]) == (204, "1")
    assert below > begin


def test_what_waits_for_another_attempt_is_not_waited_for(live: Live, pair: tuple[Worker, Worker]) -> None:
    """Its place may be the one of the worker that would wait."""
    first, second = pair
    shared(first, second)
    (live.root / "fails").touch()
    with asking(live, second) as asked:
        live.release(live.root / f"worker-{first.attempt}.gate")
        assert (asked.result().status, asked.result().headers["x-fabric-end"]) == (204, "1")


def test_one_that_waits_for_credit_is_not_waited_for(live: Live, pair: tuple[Worker, Worker]) -> None:
    """Its consumer may be waiting for the place of the worker that would wait."""
    first, second = pair
    begin, _ = shared(first, second)
    metrics = Caller(live)
    with ThreadPoolExecutor(1) as pool:
        for _ in range(2):  # the first one uses up the credit
            sent = pool.submit(first.send, b"1\n" * Settings.credit_records)
        until(lambda: b"fabric_jobs_http_waiting 1" in metrics.call("GET", "/metrics").body, "it waits for credit")
        assert second.ask().headers["x-fabric-end"] == "1"
        assert not sent.done()
        metrics.post(f"/activations/{first.message['activationId']}/cancel", {})
        assert sent.result().status == 409
    assert begin == 0


def test_aggregators_do_not_wait_for_each_other(pair: tuple[Worker, Worker]) -> None:
    first, second = pair
    assert first.ask("end").status == 200
    while second.below < COUNT:
        assert second.ask("end").status == 200
    assert [worker.ask("end").headers["x-fabric-end"] for worker in pair] == ["1", "1"]
