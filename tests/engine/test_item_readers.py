"""The threads that read the items of jobs: in order, once, not too far ahead, also when they or a store are interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.engine import item_readers
from fabric_jobs.engine.item_readers import ItemReaders
from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.jobs import Job
from fabric_jobs.records import Channel
from fabric_jobs.routing import SOURCE
from fabric_jobs.settings import Settings
from fabric_jobs.sources import items, objects
from fabric_jobs.sources.local import LocalFiles
from fabric_jobs.sources.paths import SourceFile
from fabric_jobs.store import Effects, Store, Tx, activations, channels, jobs, leases
from tests.buckets import Buckets, bucket_server
from tests.factories import PROJECT, add_activation, add_channel, records_of
from tests.seeds import CRASH_SEED
from tests.sources.flaky_store import FlakyStore

SECONDS = 30.0


class Desk:
    """A store with jobs whose items are read, and a worker that the test plays."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.store = Store(directory / "state.db")
        self.settings = Settings(state_dir=directory, **settings)
        self._changed = threading.Condition()
        self.store.listen(self._committed)
        self.readers: ItemReaders | None = None

    def _committed(self, effects: Effects) -> None:
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        if self.readers is not None:
            self.readers.close()
        self.store.close()

    def read(self) -> None:
        """Begin to read."""
        self.readers = ItemReaders(self.store, self.settings)
        self.readers.adopt()

    def add(self, job_id: str) -> None:
        """Begin to read one more job; it may be done before."""
        assert self.readers is not None
        for _ in range(2):
            self.readers.add(self.found(job_id))

    def until(self, predicate: Callable[[], object]) -> None:
        """Wait until `predicate` is true, which is asked after every commit."""
        with self._changed:
            assert self._changed.wait_for(lambda: bool(predicate()), SECONDS)

    def job(self, job_id: str, source: dict[str, Any], **changes: Any) -> str:
        """Store a job with its activation and its channel; return its id."""
        admitted, anywhere = changes.pop("admitted", True), changes.pop("anywhere", True)
        add_activation(self.store, job_id, kind="skill", name="api", entry="items", admitted=admitted)
        add_channel(self.store, SOURCE, "api.items", wire=0, output="", activation_id=job_id)
        values: dict[str, Any] = {
            "activation_id": job_id,
            "project_id": PROJECT,
            "api_name": "api",
            "kind": "BatchAPI",
            "api_version": 1,
            "workers": 1,
            "batch_size": 2,
            "config": {},
            "timeout": None,
            "batch_timeout": None,
            "queue_arn": "",
            "max_receive_count": 1,
            "source": {**source, "anywhere": anywhere},
            "position": "{}",
            "verdict": "",
            "submitted_at": 0.0,
        }
        made = Job(**{**values, **changes})
        self.store.write(lambda tx: jobs.create(tx, made)).result()
        return job_id

    def found(self, job_id: str) -> Job:
        job = jobs.find(self.store.read, job_id)
        assert job is not None
        return job

    def channel(self, job_id: str) -> Channel:
        [channel] = channels.inbound(self.store.read, job_id, "api.items")
        return channel

    def is_complete(self, job_id: str) -> bool:
        return self.channel(job_id).ended and self.found(job_id).position is None

    def payloads(self, job_id: str) -> list[Any]:
        return records_of(self.store, self.channel(job_id).channel_id)

    def failure(self, job_id: str) -> str:
        """Wait until a job has failed; return the reason."""
        self.until(lambda: self.found(job_id).verdict)
        assert self.found(job_id).verdict == "enqueue_failed"
        activation = activations.find(self.store.read, job_id)
        assert activation is not None
        assert activation.cancel_requested
        return activation.cause

    def finish(self, job_id: str, first: int, below: int) -> None:
        """Handle some items, as a worker does."""

        def operation(tx: Tx) -> None:
            leases.mark(tx, self.channel(job_id).channel_id, first, below)
            tx.effects.activations.add(job_id)

        self.store.write(operation).result()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    made: list[Desk] = []

    def build(**settings: Any) -> Desk:
        made.append(Desk(tmp_path, **settings))
        return made[-1]

    yield build
    for desk in made:
        desk.close()


def delimited(*paths: Path | str) -> dict[str, Any]:
    return {"delimited_files": {"s3_paths": [str(path) for path in paths]}}


def write(path: Path, count: int) -> list[int]:
    """Write numbers to a file, one on a line; return them."""
    path.write_text("".join(f"{number}\n" for number in range(count)))
    return list(range(count))


def test_items_are_appended_and_the_input_ends(make: Callable[..., Desk], tmp_path: Path) -> None:
    desk = make()
    numbers = write(tmp_path / "x.json", 20_000)
    first = desk.job("first", delimited(tmp_path / "x.json"))
    empty = desk.job("empty", {"file_path_lister": {"s3_paths": [str(tmp_path)], "includes": ["nothing"]}})
    desk.read()
    desk.until(lambda: desk.is_complete(first) and desk.is_complete(empty))
    assert desk.payloads(first) == numbers
    assert desk.payloads(empty) == []
    later = desk.job("later", {"file_path_lister": {"s3_paths": [f"{tmp_path}/x.json"]}})
    desk.add(later)
    desk.until(lambda: desk.is_complete(later))
    assert desk.payloads(later) == [f"{tmp_path}/x.json"]


def test_reading_is_never_far_ahead_of_the_workers(
    make: Callable[..., Desk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "CHUNK_ITEMS", 10)
    monkeypatch.setattr(item_readers, "LOOK_SECONDS", 0.0)
    desk = make(credit_records=100)
    numbers = write(tmp_path / "x.json", 1000)
    job_id = desk.job("job", delimited(tmp_path / "x.json"))
    most = 0

    def committed(effects: Effects) -> None:
        nonlocal most
        most = max(most, desk.channel(job_id).unfinished)

    desk.store.listen(committed)
    desk.read()
    desk.until(lambda: desk.channel(job_id).next_offset == 100)
    desk.finish(job_id, 50, 100)  # a slow worker has the first half: the others do not wait for it
    desk.until(lambda: desk.channel(job_id).next_offset == 150)
    desk.finish(job_id, 0, 50)
    done = 100
    while done < 1000:
        desk.until(lambda done=done: desk.channel(job_id).next_offset > done)  # type: ignore[misc]
        below = desk.channel(job_id).next_offset
        desk.finish(job_id, done, below)
        done = below
    desk.until(lambda: desk.is_complete(job_id))
    assert desk.channel(job_id).next_offset == len(numbers)
    assert most == 100


def test_credit_counts_bytes(make: Callable[..., Desk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "CHUNK_ITEMS", 10)
    desk = make(credit_bytes=2000)
    (tmp_path / "x.json").write_text("\n".join(json.dumps("x" * 98) for _ in range(100)))
    job_id = desk.job("job", delimited(tmp_path / "x.json"))
    other = desk.job("other", delimited(tmp_path / "y.json"))
    write(tmp_path / "y.json", 5)
    desk.read()
    desk.until(lambda: desk.is_complete(other) and desk.channel(job_id).next_offset == 20)
    desk.finish(job_id, 0, 20)
    desk.until(lambda: desk.channel(job_id).next_offset == 40)


def test_a_job_that_waits_for_its_turn_gets_no_items(make: Callable[..., Desk], tmp_path: Path) -> None:
    desk = make()
    numbers = write(tmp_path / "x.json", 10)
    waiting = desk.job("waiting", delimited(tmp_path / "x.json"), admitted=False)
    running = desk.job("running", delimited(tmp_path / "x.json"))
    desk.read()
    desk.until(lambda: desk.is_complete(running))
    assert desk.channel(waiting).next_offset == 0
    assert desk.store.write(lambda tx: activations.admit(tx, 10)).result() == [waiting]
    desk.until(lambda: desk.is_complete(waiting))
    assert desk.payloads(waiting) == numbers


def test_a_stopped_job_gets_no_more_items(make: Callable[..., Desk], tmp_path: Path) -> None:
    desk = make(credit_records=1)
    write(tmp_path / "x.json", 100_000)
    job_id = desk.job("job", delimited(tmp_path / "x.json"))
    desk.read()
    desk.until(lambda: desk.channel(job_id).next_offset > 0)
    at = desk.channel(job_id).next_offset
    desk.store.write(lambda tx: activations.ask_cancel(tx, job_id, PROJECT, "stopped")).result()
    desk.finish(job_id, 0, at)
    assert desk.readers is not None
    while desk.readers._known:  # until the job has had a turn
        desk.store.write(lambda tx: None).result()
    assert desk.channel(job_id).next_offset == at


def test_a_malformed_file_fails_the_job_and_no_other(make: Callable[..., Desk], tmp_path: Path) -> None:
    desk = make()
    (tmp_path / "bad.json").write_text('1\n2\n{"a": oops}\n4\n')
    numbers = write(tmp_path / "good.json", 5)
    bad, good = desk.job("bad", delimited(tmp_path / "bad.json")), desk.job("good", delimited(tmp_path / "good.json"))
    missing = desk.job("missing", delimited(tmp_path / "missing.json"))
    desk.read()
    assert "bad.json: item 2: it is not JSON" in desk.failure(bad)
    assert "missing.json is neither a file nor a directory" in desk.failure(missing)
    desk.until(lambda: desk.is_complete(good))
    assert desk.payloads(good) == numbers


def test_other_callers_read_no_files_of_this_machine(make: Callable[..., Desk], tmp_path: Path) -> None:
    desk = make(source_paths=str(tmp_path / "open"))
    (tmp_path / "open").mkdir()
    numbers = write(tmp_path / "open" / "x.json", 5)
    write(tmp_path / "secret.json", 5)
    allowed = desk.job("allowed", delimited(tmp_path / "open" / "x.json"), anywhere=False)
    refused = desk.job("refused", delimited(tmp_path / "secret.json"), anywhere=False)
    desk.read()
    desk.until(lambda: desk.is_complete(allowed))
    assert desk.payloads(allowed) == numbers
    reason = desk.failure(refused)
    assert "may not read" in reason
    assert "FABRIC_JOBS_SOURCE_PATHS" in reason


def test_an_error_of_our_own_fails_the_job_after_some_tries(
    make: Callable[..., Desk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_readers, "AGAIN_SECONDS", 0.01)

    def broken(self: LocalFiles, key: str) -> Iterator[SourceFile]:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(LocalFiles, "after", broken)
    desk = make()
    job_id = desk.job("job", delimited(tmp_path))
    desk.read()
    assert "ZeroDivisionError: a mistake (4 times" in desk.failure(job_id)


def test_a_full_disk_delays_a_job(make: Callable[..., Desk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it lasts: the limit is for stores of items."""
    monkeypatch.setattr(item_readers, "AGAIN_SECONDS", 0.01)
    add_items, failures = jobs.add_items, iter(range(5))

    def full(*args: Any) -> bool:
        if next(failures, None) is not None:
            raise PlaceUnavailable("the disk is full.")
        return add_items(*args)

    monkeypatch.setattr(jobs, "add_items", full)
    desk = make(source_seconds=0.0)
    numbers = write(tmp_path / "x.json", 10)
    job_id = desk.job("job", delimited(tmp_path / "x.json"))
    desk.read()
    desk.until(lambda: desk.is_complete(job_id))
    assert desk.payloads(job_id) == numbers


# A store that does not answer


def test_a_store_that_comes_back_is_read_to_its_end(
    make: Callable[..., Desk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_readers, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(items, "CHUNK_ITEMS", 10)
    pieces = LocalFiles.pieces
    failures = iter(range(3))

    def sometimes(self: LocalFiles, file: SourceFile, at: int) -> Iterator[bytes]:
        yield from (piece[:50] for piece in pieces(self, file, at))
        if next(failures, None) is not None:
            raise PlaceUnavailable("the store is away.")
        yield from pieces(self, file, at + 50)

    monkeypatch.setattr(LocalFiles, "pieces", sometimes)
    desk = make()
    numbers = write(tmp_path / "x.json", 500)
    job_id = desk.job("job", delimited(tmp_path / "x.json"))
    desk.read()
    desk.until(lambda: desk.is_complete(job_id))
    assert desk.payloads(job_id) == numbers


@pytest.fixture(scope="module")
def server() -> Iterator[Buckets]:
    with bucket_server("bucket") as found:
        yield found


def test_a_store_that_stays_away_fails_its_job_and_delays_no_other(
    make: Callable[..., Desk], tmp_path: Path, server: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    for name, number in {"REQUEST_SECONDS": 1, "TRIES": 0}.items():
        monkeypatch.setattr(objects, name, number)
    monkeypatch.setattr(item_readers, "AGAIN_SECONDS", 0.01)
    server.put("x.json", b"1 2 3")
    numbers = write(tmp_path / "good.json", 5)
    with FlakyStore(server.variables["AWS_ENDPOINT_URL"]) as flaky:
        flaky.always = "hang"
        desk = make(source_endpoint=flaky.url, source_seconds=0.5)
        away = desk.job("away", delimited("s3://bucket/x.json"))
        good = desk.job("good", delimited(tmp_path / "good.json"))
        desk.read()
        desk.until(lambda: desk.is_complete(good))
        assert desk.payloads(good) == numbers
        assert "s3://bucket/x.json cannot be read" in desk.failure(away)
        flaky.always = None
        again = desk.job("again", delimited("s3://bucket/x.json"))
        desk.add(again)
        desk.until(lambda: desk.is_complete(again))
        assert desk.payloads(again) == [1, 2, 3]


def test_a_store_that_hangs_does_not_hold_up_the_end(
    make: Callable[..., Desk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_readers, "CLOSE_SECONDS", 0.1)
    hanging, gate = threading.Semaphore(0), threading.Event()

    def hang(self: LocalFiles, key: str) -> Iterator[SourceFile]:
        hanging.release()
        gate.wait(SECONDS)
        yield from ()

    monkeypatch.setattr(LocalFiles, "after", hang)
    desk = make()
    for number in range(4):
        desk.job(f"job {number}", delimited(tmp_path))
    desk.read()
    for _ in range(4):
        assert hanging.acquire(timeout=SECONDS)
    assert desk.readers is not None
    desk.readers.close()
    gate.set()
    for thread in desk.readers._threads:
        thread.join(SECONDS)
    assert [desk.found(f"job {number}").position for number in range(4)] == ["{}"] * 4


def test_workers_get_items_before_a_listing_ends(
    make: Callable[..., Desk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    after = LocalFiles.after

    def slow(self: LocalFiles, key: str) -> Iterator[SourceFile]:
        for number, file in enumerate(after(self, key)):
            if number == 5:
                assert gate.wait(SECONDS)
            yield file

    monkeypatch.setattr(LocalFiles, "after", slow)
    monkeypatch.setattr(items, "CHUNK_SECONDS", 0.0)
    for number in range(8):
        (tmp_path / f"{number}.json").write_text("1")
    desk = make()
    job_id = desk.job("job", {"file_path_lister": {"s3_paths": [str(tmp_path)], "includes": ["**.json"]}})
    desk.read()
    desk.until(lambda: desk.channel(job_id).next_offset == 5)
    gate.set()
    desk.until(lambda: desk.is_complete(job_id))
    assert desk.payloads(job_id) == [f"{tmp_path}/{number}.json" for number in range(8)]


# A process that is killed

READER = """
import sys, time
from pathlib import Path
from fabric_jobs.engine import item_readers
from fabric_jobs.settings import Settings
from fabric_jobs.sources import items
from fabric_jobs.store import Store, jobs
items.CHUNK_ITEMS = 5
directory = Path(sys.argv[1])
store = Store(directory / "state.db")
store.listen(lambda effects: print(len(effects.appended), flush=True))
readers = item_readers.ItemReaders(store, Settings(state_dir=directory))
readers.adopt()
while jobs.enumerating(store.read):
    time.sleep(0.05)
"""


@pytest.mark.parametrize("of", ["delimited_files", "file_path_lister"])
def test_a_killed_reader_leaves_each_item_once(tmp_path: Path, of: str) -> None:
    for number in range(400):
        (tmp_path / f"{number:03}.json").write_text("".join(f"{number * 10 + n}\n" for n in range(10)))
    desk = Desk(tmp_path)
    job_id = desk.job("job", {of: {"s3_paths": [f"{tmp_path}/*.json"]}})
    desk.close()
    for after in range(1, 6):
        with subprocess.Popen([sys.executable, "-c", READER, str(tmp_path)], stdout=subprocess.PIPE) as reader:
            assert reader.stdout is not None
            for _ in range(after + CRASH_SEED % 3):
                reader.stdout.readline()
            reader.send_signal(signal.SIGKILL)
    desk = Desk(tmp_path)
    try:
        desk.read()
        desk.until(lambda: desk.is_complete(job_id))
        names = [f"{tmp_path}/{number:03}.json" for number in range(400)]
        assert desk.payloads(job_id) == (list(range(4000)) if of == "delimited_files" else names)
    finally:
        desk.close()
