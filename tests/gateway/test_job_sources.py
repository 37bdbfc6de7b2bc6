"""Jobs whose items come from files: which files, dry runs, who may read what, and files that cannot be read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.live import Live
from tests.gateway.access import make_token
from tests.gateway.jobs import Apis

PRINTING = """
    class Handler:
        def __init__(self, config):
            pass

        def handle_batch(self, payload):
            print(payload, flush=True)
    """


@pytest.fixture
def apis(live: Live) -> Apis:
    """Return a workspace with a Batch API, and a directory with files."""
    found = Apis(live)
    found.deploy("show", PRINTING)
    place = live.root / "data"
    place.mkdir()
    for name in ("img_1.png", "img_2.jpg", "img_3.jpg", "img_4.gif"):
        (place / name).write_text("")
    return found


def lister(place: Path, **more: Any) -> dict[str, Any]:
    """Return a submission that lists the files of a directory."""
    return {"workers": 1, "file_path_lister": {"s3_paths": [f"{place}/"], "batch_size": 2, **more}}


def names(listing: str) -> list[str]:
    """Return the names of the files of a dry run."""
    *paths, last = listing.split("\n")
    assert last == "validations passed"
    return [path.rpartition("/")[2] for path in paths]


def test_a_dry_run_lists_the_files_that_the_job_gets(apis: Apis) -> None:
    place = apis.live.root / "data"
    for more, expected in (
        ({}, ["img_1.png", "img_2.jpg", "img_3.jpg", "img_4.gif"]),
        ({"includes": ["**.jpg"]}, ["img_2.jpg", "img_3.jpg"]),
        ({"includes": ["**.jpg"], "excludes": ["**_3.jpg"]}, ["img_2.jpg"]),
        ({"excludes": ["**.gif"]}, ["img_1.png", "img_2.jpg", "img_3.jpg"]),
        ({"s3_paths": [f"{place}/img_1.png", f"file://{place}/img_2.jpg"]}, ["img_1.png", "img_2.jpg"]),
    ):
        status, listing = apis.ask("POST", "/show?dryRun=true", lister(place, **more))
        assert (status, names(listing)) == (200, expected), more
    assert apis.caller.get("/jobs")["jobs"] == []
    said = apis.submit("/show", **lister(place, includes=["**.jpg"]))
    assert "total_batch_count" not in said
    job = apis.end("/show", said["job_id"])["job_status"]
    assert job.items() >= {"status": "succeeded", "items": 2, "total_batch_count": 1, "enqueued": True}.items()
    assert "img_2.jpg" in apis.said(said["job_id"])


def test_items_are_read_from_files_and_batches_span_them(apis: Apis) -> None:
    place = apis.live.root / "data"
    (place / "a.json").write_text('{"n": 1}\n{"n": 2}\n{"n": 3}')
    (place / "b.json.gz").write_bytes(gzip.compress(b'{"n": 4} {"n":\n5}'))
    source = {"s3_paths": [f"{place}/"], "includes": ["**.json", "**.gz"], "batch_size": 2}
    job_id = apis.submit("/show", workers=1, delimited_files=source)["job_id"]
    job = apis.end("/show", job_id)["job_status"]
    assert job.items() >= {"status": "succeeded", "items": 5, "total_batch_count": 3}.items()
    assert "[{'n': 3}, {'n': 4}]" in apis.said(job_id)


def test_a_file_that_cannot_be_read_ends_the_job_and_is_named(apis: Apis) -> None:
    place = apis.live.root / "data"
    (place / "bad.json").write_text('{"n": 1}\n{"n": 2}\n{"n": oops}\n')
    source = {"s3_paths": [f"{place}/bad.json"], "batch_size": 1}
    job_id = apis.submit("/show", workers=1, delimited_files=source)["job_id"]
    job = apis.end("/show", job_id)["job_status"]
    assert job["status"] == "enqueue_failed"
    assert "bad.json" in job["reason"]
    assert "item 2" in job["reason"]


def test_sources_that_cannot_be(apis: Apis) -> None:
    place = apis.live.root / "data"
    wrong: list[tuple[dict[str, Any], str, str]] = [
        ({"includes": ["[a-"]}, "error", "includes"),
        ({"excludes": ["[]"]}, "error", "excludes"),
        ({"s3_paths": ["s3://"]}, "aws.invalid_s3_path", "s3://"),
        ({"s3_paths": ["http://example.org/x"]}, "aws.invalid_s3_path", "http://example.org/x"),
        ({"s3_paths": []}, "configreader.too_few_elements", "s3_paths"),
        ({"includes": ["*.jpg"]}, "batchapi.no_s3_files_found", "no file"),
        ({"s3_paths": [f"{place}/none"]}, "batchapi.no_s3_files_found", "/none is neither"),
    ]
    for block in ("file_path_lister", "delimited_files"):
        for more, kind, said in wrong:
            body = {"workers": 1, block: {"s3_paths": [f"{place}/"], "batch_size": 1, **more}}
            found, message = apis.refused("POST", "/show", body)
            assert (found, said in message, block in message) == (kind, True, True), message
            status, text = apis.ask("POST", "/show?dryRun=1", body)
            assert (status, text) == (400, f"\n{message}\n")
    assert apis.caller.get("/jobs")["jobs"] == []


def test_only_the_owner_reads_any_file_of_the_machine(live: Live, apis: Apis) -> None:
    runner = make_token(apis.near, "runner", "run").jwt(seconds=600)
    place = live.root / "data"
    other = Apis(live, token=runner)
    for body in (lister(place), lister(place, s3_paths=["/etc/passwd"]), lister(place, s3_paths=[f"file://{place}"])):
        assert other.ask("POST", "/show", body)[0] == 400
        assert other.ask("POST", "/show?dryRun=true", body)[0] == 400
    live.stop_owner()
    live.environment["FABRIC_JOBS_SOURCE_PATHS"] = str(place)
    other = Apis(live, token=runner)
    assert names(other.ask("POST", "/show?dryRun=true", lister(place))[1])[0] == "img_1.png"
    (place / "link").symlink_to("/etc/passwd")
    for path in ("/etc/passwd", f"{place}/../../etc/passwd", f"{place}/link", f"{place}x"):
        status, found = other.ask("POST", "/show?dryRun=true", lister(place, s3_paths=[path]))
        assert status == 400, (path, found)
        assert other.ask("POST", "/show", lister(place, s3_paths=[path]))[0] == 400
    assert json.loads(other.call("GET", f"/show?jobID={'0' * 16}").body)["kind"] == "job.not_found"
