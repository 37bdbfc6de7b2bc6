"""Backups of attempts that are just being started."""

from __future__ import annotations

from pathlib import Path

from fabric_jobs.blobs import open_blobs
from fabric_jobs.store import Store, tasks
from fabric_jobs.upkeep.backup import Backup, BackupWanted
from tests.factories import add_activation, add_task, started


def test_the_log_of_an_attempt_that_its_owner_starts_again_stays_behind(tmp_path: Path) -> None:
    """A program can print before its handle is stored. The copy starts it anew, under the same name."""
    state, attempts = tmp_path / "state", tmp_path / "state" / "attempts"
    state.mkdir()
    store = Store(state / "state.db")
    add_activation(store)
    known, queued = started(store, add_task(store, name="known")), add_task(store, name="unknown")
    unknown = store.write(lambda tx: tasks.start(tx, queued, "fake")).result()
    assert unknown is not None
    for task in (known, unknown):
        (attempts / task.attempt_name).mkdir(parents=True)
        (attempts / task.attempt_name / "stdout").write_text("begun\n")
    wanted = BackupWanted(destination=tmp_path / "copy")
    backup = Backup.start(None, wanted, store, open_blobs(state / "content"), attempts, lambda: False)
    backup.join()
    assert backup.error is None
    assert [path.name for path in (tmp_path / "copy" / "attempts").iterdir()] == [known.attempt_name]
    store.close()
