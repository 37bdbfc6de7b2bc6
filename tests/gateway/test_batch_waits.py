"""A worker that waits for batches is woken by what comes while its own transaction is written."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from starlette.requests import Request
from starlette.responses import Response

from fabric_jobs.gateway import batches
from fabric_jobs.gateway.batch_lines import BatchLines
from fabric_jobs.gateway.live import Live
from fabric_jobs.routing import sending_id
from fabric_jobs.settings import Settings
from fabric_jobs.store import Store, Tx, channels
from fabric_jobs.store.batches import Rules
from fabric_jobs.store.channels import Sender
from fabric_jobs.store.sent import Sent
from tests.acceptance.live import PATIENCE_SECONDS
from tests.store.test_batches import Desk

RULES = Rules(size=1, receive_count=1, on_error="continue")
ASKS = json.dumps({"ready": True, "want": 1, "held": [], "done": [], "failed": [], "completed": None}).encode()


class Counter:
    """A gateway's call of batches, and a store whose next transaction is written when the test says so."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Must be made in an event loop."""
        self.store = Store(directory / "state.db")
        self.desk = Desk(self.store)
        settings = Settings(state_dir=directory)
        live = Live(self.store, settings)
        awake = SimpleNamespace(seconds=lambda: 0.0)
        parts = SimpleNamespace(settings=settings, awake=awake, store=self.store, live=live, lines=BatchLines())
        task = self.desk.workers[0]
        live.rules.put(task.task_id, RULES)
        api = SimpleNamespace(is_batch=True)
        node = SimpleNamespace(action=SimpleNamespace(api=api, batch=None), output="results")

        async def body(_: Request, __: int) -> bytes:
            return ASKS

        monkeypatch.setattr(batches, "attempt_of", lambda _: (parts, task))
        monkeypatch.setattr(batches, "node_of", lambda *_: node)
        monkeypatch.setattr(batches, "body_of", body)

    async def call(self, beside: Callable[[Tx], object]) -> Response:
        """Return the answer to a worker, in whose first transaction something else is written after what it does."""
        begun, goes_on = threading.Event(), threading.Event()

        def hold(_: Tx) -> None:
            begun.set()
            goes_on.wait(PATIENCE_SECONDS)

        held = self.store.write(hold)
        await asyncio.to_thread(begun.wait, PATIENCE_SECONDS)
        asked = asyncio.create_task(batches.exchange(cast(Request, None)))
        while not self.store.waiting:
            await asyncio.sleep(0)
        written = self.store.write(beside)
        goes_on.set()
        await asyncio.wrap_future(held)
        await asyncio.wrap_future(written)
        return await asked


def append_item(tx: Tx) -> None:
    sender = Sender(activation_id="a1", sending_id=sending_id("a1", ""))
    channels.append(tx, sender, Sent(output="items", count=1, bytes=b"7\n"))


def call(directory: Path, monkeypatch: pytest.MonkeyPatch, beside: Callable[[Tx], object]) -> Response:
    async def run() -> Response:
        counter = Counter(directory, monkeypatch)
        try:
            return await counter.call(beside)
        finally:
            counter.store.close()

    return asyncio.run(run())


def test_an_item_that_comes_in_the_same_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = call(tmp_path, monkeypatch, append_item)
    assert answer.status_code == 200  # else 204, after 20 seconds
    assert bytes(answer.body).split(b"\n")[1] == b"[7]"
