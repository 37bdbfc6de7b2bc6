"""Leases of batches: a gateway takes batches only from workers that could have called it."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from fabric_jobs.gateway.batches import WorkerCall, _step
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.settings import Settings
from fabric_jobs.store import Store, leases
from fabric_jobs.store.batches import Handed, Report, Rules
from tests.store.test_batches import Desk

LEASE_SECONDS = 60.0
RULES = Rules(size=3, receive_count=1, on_error="continue")


def test_a_gateway_that_was_away_takes_no_batch_before_a_lease_has_passed(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    desk = Desk(store)
    awake = SimpleNamespace(seconds=lambda: LEASE_SECONDS - 1)
    settings = Settings(state_dir=tmp_path, lease_seconds=LEASE_SECONDS)
    parts = cast(Parts, SimpleNamespace(settings=settings, awake=awake))
    asked = WorkerCall(Report(ready=False), 2, frozenset())

    def call(worker: int) -> list[Handed]:
        task = desk.workers[worker]
        step = store.write(lambda tx: _step(tx, parts=parts, task=task, rules=RULES, asked=asked, flush=False))
        return step.result()

    desk.add(6)
    assert call(0) == [Handed(desk.channel_id, 0, 3, 1), Handed(desk.channel_id, 3, 6, 1)]
    desk.extend(0, time.time() - 1)  # nobody could extend them while the gateway was away
    assert call(1) == []
    assert len(leases.held(store.read, desk.workers[0].task_id)) == 2
    awake.seconds = lambda: LEASE_SECONDS
    assert call(1) == [Handed(desk.channel_id, 0, 3, 2)]  # alone, as what a worker may have died of
    store.close()
