"""The worker of an API of containers: it posts batches to their server (docs/howto/containers-of-apis.md)."""

from __future__ import annotations

import json
import queue
import signal
import threading
import time
import traceback
from typing import Any

from .exchange import Batch, Exchange, Pace
from .pod import Leaving, Pod, say
from .posting import Reply, Server, TimedOut, Unanswered

ENDED_WHEN_ASKED = 128 + signal.SIGTERM
BEAT_SECONDS = 30.0  # between calls while batches take long: the gateway says when the attempt is over
IDLE_SECONDS = 0.5  # that a connection stays open without a batch
TIMEOUTS = 2  # batches in a row without an answer in time, after which the server counts as hung


def run(wanted: dict[str, Any]) -> int:
    """Run a worker of containers to its end; return its exit code. `wanted` is the content of the worker file."""
    pod = Pod(wanted)
    try:
        pod.start()
        return Dequeuer(pod, wanted).run() if wanted["kind"] == "BatchAPI" else pod.rest()
    except Leaving as leaving:
        return leaving.code
    finally:
        pod.end()


class Dequeuer:
    """Takes batches and posts them. The main thread takes; others post, one batch at a time each."""

    def __init__(self, pod: Pod, wanted: dict[str, Any]) -> None:
        self._pod = pod
        self._changed = pod.changed
        self._job_id = str(wanted["job"]["job_id"])
        self._seconds: float | None = wanted.get("batch_timeout")
        self._concurrency = max(1, int(wanted.get("concurrency") or 1))
        self._pace = Pace(self._concurrency)
        self._waiting: queue.SimpleQueue[Batch] = queue.SimpleQueue()
        self._open = 0  # batches that are taken, and not ended
        self._timeouts = 0  # in a row

    def run(self) -> int:
        """Work until the gateway says that there is nothing more, or until this worker is asked to end."""
        self._pod.await_ready()
        exchange = Exchange()
        for _ in range(self._concurrency):
            threading.Thread(target=self._post_all, args=(exchange,), name="poster", daemon=True).start()
        while self._may_take(exchange):
            answer = exchange.take(self._pace.wanted)
            if answer.end:
                return 0
            if answer.complete is not None:
                self._complete(exchange, answer.complete)
            with self._changed:
                self._open += len(answer.batches)
                self._pod.busy = self._open > 0
            for batch in answer.batches:
                self._waiting.put(batch)
        exchange.report()
        return ENDED_WHEN_ASKED

    def _may_take(self, exchange: Exchange) -> bool:
        """Wait until this worker can take more; return False once it has ended what it had, since it is asked to end."""
        while True:
            with self._changed:
                if self._pod.must_end.is_set() and not self._open:
                    return False
                room = self._pace.wanted - self._open
                if not self._pod.must_end.is_set() and self._pod.is_ready and room >= self._pace.room:
                    return True
                has_changed = self._changed.wait(BEAT_SECONDS)
            if not has_changed:
                exchange.report()
            elif not self._pod.is_ready:
                exchange.report_late()

    def _post_all(self, exchange: Exchange) -> None:
        server = Server(self._pod.port)
        patience: float | None = None  # seconds until the connection is closed
        try:
            while True:
                try:
                    batch = self._waiting.get(timeout=patience)
                except queue.Empty:  # a server of one thread answers nobody else while a connection is open
                    server.close()
                    patience = None
                    continue
                patience = IDLE_SECONDS
                if not self._pod.must_end.is_set():
                    self._post(server, batch, exchange)
                with self._changed:
                    self._open -= 1
                    self._pod.busy = self._open > 0
                    self._changed.notify_all()
        except Exception:
            traceback.print_exc()
            self._pod.leave(1)

    def _post(self, server: Server, batch: Batch, exchange: Exchange) -> None:
        """Post a batch and note what came of it. It is lost, and not failed, if the server ends with this worker."""
        headers = {
            "X-Cortex-Job-ID": self._job_id,
            "X-Cortex-Batch-ID": batch.batch_id,
            "X-Cortex-Attempt": str(batch.attempt),
        }
        began = time.monotonic()
        try:
            error = _error(server.post("/", batch.body, headers, self._seconds))
        except Unanswered as failure:
            if self._pod.is_going():
                return
            self._pod.doubt()
            error = str(failure)
        except TimedOut:
            self._late(exchange, batch)
            return
        self._timeouts = 0
        seconds = time.monotonic() - began
        self._pace.note(seconds)
        if error:
            exchange.failed(batch, error, seconds)
        else:
            exchange.succeeded(batch, seconds)

    def _late(self, exchange: Exchange, batch: Batch) -> None:
        """Note a batch without an answer in time. A server that hangs is replaced, with this worker."""
        exchange.failed(batch, f"no answer within {self._seconds:g} s", self._seconds or 0.0)
        self._timeouts += 1
        if self._timeouts >= TIMEOUTS:
            exchange.report()
            say(f"{self._timeouts} batches in a row had no answer within {self._seconds:g} s")
            self._pod.leave(1)

    def _complete(self, exchange: Exchange, counts: dict[str, Any]) -> None:
        body = json.dumps({"message": "job_complete", **counts}).encode()
        try:
            reply = Server(self._pod.port).post(
                "/on-job-complete", body, {"X-Cortex-Job-ID": self._job_id}, self._seconds
            )
        except Unanswered as failure:
            if self._pod.is_going():
                self._pod.rest()
            exchange.completed(0, str(failure))
        except TimedOut:
            exchange.completed(0, f"no answer within {self._seconds:g} s")
        else:
            exchange.completed(reply.status, "" if reply.status == 404 else _error(reply))


def _error(reply: Reply) -> str:
    """Return why an answer means failure; empty if it means success."""
    if reply.status == 200:
        return ""
    text = " ".join(reply.body.decode(errors="replace").split())
    return f"HTTP {reply.status}: {text}".rstrip(": ")
