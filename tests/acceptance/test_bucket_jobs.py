"""Jobs whose items come from a bucket: all of it, also when its store throttles, goes away, and comes back or does not."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.live import Live, until
from tests.buckets import Buckets, bucket_server
from tests.gateway.jobs import Apis
from tests.sources.flaky_store import FlakyStore

KEEP = """
    class Handler:
        def __init__(self, config):
            pass

        def handle_batch(self, payload):
            return payload
    """


@pytest.fixture(scope="module")
def server() -> Iterator[Buckets]:
    with bucket_server("bucket") as found:
        yield found


@pytest.fixture
def flaky(server: Buckets) -> Iterator[FlakyStore]:
    server.clear()
    with FlakyStore(server.variables["AWS_ENDPOINT_URL"]) as found:
        yield found


@pytest.fixture
def apis(live: Live, server: Buckets, flaky: FlakyStore) -> Apis:
    """Return a workspace with a Batch API, whose owner reads from the flaky store."""
    live.environment |= {**server.variables, "FABRIC_JOBS_SOURCE_ENDPOINT": flaky.url}
    found = Apis(live)
    found.deploy("keep", KEEP)
    return found


def job(apis: Apis, **block: Any) -> str:
    """Submit a job that reads the bucket; return its id."""
    source = {"s3_paths": ["s3://bucket/data/"], "batch_size": 10, **block}
    return str(apis.submit("/keep", workers=2, delimited_files=source)["job_id"])


def results(apis: Apis, job_id: str) -> list[Any]:
    """Return the results of a job, in their order."""
    return sorted(apis.live.wait(job_id)["response"], key=lambda item: int(item["n"]))


def test_a_job_gets_all_that_is_in_a_bucket(apis: Apis, server: Buckets, flaky: FlakyStore) -> None:
    server.put("data/1.json", "".join(f'{{"n": {n}}}\n' for n in range(25)).encode())
    server.put("data/2.json.gz", gzip.compress("".join(f'{{"n": {n}}} ' for n in range(25, 50)).encode()))
    server.put("data/3.csv", b"n\n50\n")
    server.put("data/sub/", b"")
    server.put("database", b"elsewhere")
    flaky.answers = [503, None, 503]
    job_id = job(apis)
    found = apis.end("/keep", job_id)["job_status"]
    assert found.items() >= {"status": "succeeded", "items": 51, "total_batch_count": 6}.items()
    assert results(apis, job_id) == [*({"n": n} for n in range(50)), {"n": "50"}]


def test_a_store_that_goes_away_is_waited_for_and_named(apis: Apis, server: Buckets, flaky: FlakyStore) -> None:
    server.put("data/1.json", b'{"n": 1} {"n": 2}')
    server.put("data/2.json", b'{"n": 3}')
    flaky.answers = [None, None, None]  # for the check of the submission, the listing, and the first object
    flaky.always = "close"
    job_id = job(apis)
    trouble = until(lambda: [line for line in notes(apis, job_id) if "s3://bucket" in line], "the trouble")
    assert "s3://bucket/data/2.json cannot be read" in trouble[0]
    assert apis.show("/keep", job_id)["job_status"]["status"] in ("enqueuing", "running")
    flaky.always = None
    assert apis.end("/keep", job_id)["job_status"]["status"] == "succeeded"
    assert results(apis, job_id) == [{"n": 1}, {"n": 2}, {"n": 3}]


def notes(apis: Apis, job_id: str) -> list[str]:
    """Return what the parts of a job wait for."""
    progress = apis.live.progress(job_id)
    return [str(node.get("note", "")) for node in progress.values()]


def test_a_store_that_stays_away_ends_the_job(apis: Apis, server: Buckets, flaky: FlakyStore) -> None:
    apis.live.stop_owner()
    apis.live.environment["FABRIC_JOBS_SOURCE_SECONDS"] = "0"
    server.put("data/1.json", b'{"n": 1}')
    again = Apis(apis.live)
    flaky.answers = [None]  # for the check of the submission
    flaky.always = "close"
    found = again.end("/keep", job(again))["job_status"]
    assert found["status"] == "enqueue_failed"
    assert "s3://bucket/data/ cannot be read" in found["reason"]
