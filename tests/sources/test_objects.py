"""Objects of a store that speaks S3: moto's server, also when it is slow, throttles, or goes away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from fabric_jobs.errors import InvalidInput, PlaceUnavailable
from fabric_jobs.sources import items, objects
from fabric_jobs.sources.items import chunks
from fabric_jobs.sources.objects import Objects
from fabric_jobs.sources.paths import path_of
from fabric_jobs.sources.source import source_from_json
from tests.buckets import Buckets, bucket_server
from tests.sources.flaky_store import FlakyStore
from tests.sources.huge_store import HugeStore

IMAGES = [f"images/img_{name}" for name in ("1.png", "2.jpg", "3.jpg", "4.gif")]


@pytest.fixture(scope="module")
def server() -> Iterator[Buckets]:
    """Run a server with one bucket."""
    with bucket_server("bucket") as found:
        yield found


@pytest.fixture
def bucket(server: Buckets, monkeypatch: pytest.MonkeyPatch) -> Buckets:
    """Return an empty bucket that the variables lead to."""
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    server.clear()
    return server


@pytest.fixture
def flaky(bucket: Buckets) -> Iterator[FlakyStore]:
    """Return a store in front of the bucket, which fails as the test says."""
    with FlakyStore(bucket.variables["AWS_ENDPOINT_URL"]) as found:
        yield found


def names(path: str, after: str = "", endpoint: str = "") -> list[str]:
    """Return the names of the objects of a path."""
    return [file.name for file in Objects(path_of(path), endpoint).after(after)]


def listed(**block: Any) -> list[str]:
    """Return the names that a lister yields."""
    return [file.name for file in source_from_json({"file_path_lister": block}, within=[]).listed()]


# The examples of the original's documentation


@pytest.mark.parametrize(("block", "expected"), [
    ({"s3_paths": ["s3://bucket/images/"]}, IMAGES),
    ({"s3_paths": ["s3://bucket/images/img"]}, IMAGES),
    ({"s3_paths": ["s3://bucket/images/img_1.png", "s3://bucket/images/img_2.jpg"]}, IMAGES[:2]),
    ({"s3_paths": ["s3://bucket/images/"], "includes": ["**.jpg"]}, IMAGES[1:3]),
    ({"s3_paths": ["s3://bucket/images/"], "includes": ["**.jpg"], "excludes": ["**_3.jpg"]}, IMAGES[1:2]),
    ({"s3_paths": ["s3://bucket/images/"], "excludes": ["**.gif"]}, IMAGES[:3]),
    ({"s3_paths": ["s3://bucket/images/"], "includes": ["*.jpg"]}, []),
    ({"s3_paths": ["s3://bucket"]}, IMAGES),
    ({"s3_paths": ["s3://bucket/im"]}, IMAGES),
    ({"s3_paths": ["s3://bucket/images/img_2", "s3://bucket/images/"]}, [IMAGES[1], *IMAGES]),
    ({"s3_paths": ["s3://bucket/images/img_1.png/"]}, []),
    ({"s3_paths": ["s3://bucket/other"]}, []),
])  # fmt: skip
def test_files_are_filtered_as_documented(bucket: Buckets, block: dict[str, Any], expected: list[str]) -> None:
    for key in IMAGES:
        bucket.put(key, b"x")
    assert listed(**block) == [f"s3://bucket/{key}" for key in expected]


KEYS = [
    "a",
    "a-b/x",
    "a/",
    "a/b c#1.json",
    "a/b~2.json",
    "a/ä.json",
    "a/\U0001f600",
    "ab",
    "b/c/d/e",
    "img",
    "img2/x",
    "imh",
]


def test_a_path_is_the_beginning_of_keys_in_their_order(bucket: Buckets) -> None:
    for key in KEYS:
        bucket.put(key, b"x")
    kept = [key for key in KEYS if not key.endswith("/")]
    for begin in ("", "a", "a/", "a/b", "a/b c#", "a/b~", "a/ä", "a-", "im", "img", "img2/", "z"):
        expected = [f"s3://bucket/{key}" for key in kept if key.startswith(begin)]
        assert names(f"s3://bucket/{begin}") == expected, begin
        for number in range(len(expected)):
            after = expected[number].removeprefix("s3://bucket/")
            assert names(f"s3://bucket/{begin}", after) == expected[number + 1 :], (begin, after)


def test_many_objects_come_page_by_page(bucket: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"many/{number:04}" for number in range(1100)]
    for key in keys:
        bucket.put(key, b"")
    found = Objects(path_of("s3://bucket/many/05"), "").after("many/0560")
    assert next(found).key == "many/0561"
    assert names("s3://bucket/many/") == [f"s3://bucket/{key}" for key in keys]


def test_an_object_is_read_in_pieces_from_any_offset(bucket: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "PIECE_BYTES", 4)
    bucket.put("a b/ä~", b"0123456789")
    files = Objects(path_of("s3://bucket/a b/"), "")
    [file] = files.after("")
    for at in range(11):
        assert b"".join(files.pieces(file, at)) == b"0123456789"[at:]


def test_an_object_that_changes_is_noticed(bucket: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "PIECE_BYTES", 4)
    bucket.put("x", b"0123456789")
    files = Objects(path_of("s3://bucket/x"), "")
    [file] = files.after("")
    pieces = files.pieces(file, 0)
    assert next(pieces) == b"0123"
    bucket.put("x", b"9876543210")
    with pytest.raises(InvalidInput, match="s3://bucket/x has changed"):
        next(pieces)
    bucket.delete("x")
    with pytest.raises(InvalidInput, match="s3://bucket/x is not there any more"):
        next(files.pieces(file, 0))


def test_a_bucket_that_does_not_exist_is_an_error(bucket: Buckets) -> None:
    with pytest.raises(InvalidInput, match="no such bucket"):
        names("s3://no-such-bucket/x")


def test_the_endpoint_is_a_setting(bucket: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("x", b"1")
    endpoint = bucket.variables["AWS_ENDPOINT_URL"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert names("s3://bucket/x", endpoint=endpoint) == ["s3://bucket/x"]


def test_items_are_read_across_objects(bucket: Buckets) -> None:
    bucket.put("data/1.json", b'{"n": 1} {"n": 2}')
    bucket.put("data/2.csv", b"n\n3\n")
    bucket.put("data/3.json", b"")
    source = source_from_json({"delimited_files": {"s3_paths": ["s3://bucket/data/"]}}, within=[])
    [chunk] = chunks(source, "{}", batch_size=10, batch_bytes=1000)
    assert [json.loads(line) for line in chunk.items.splitlines()] == [{"n": 1}, {"n": 2}, {"n": "3"}]


# Stores that do not behave


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a request fail soon."""
    monkeypatch.setattr(objects, "REQUEST_SECONDS", 1)
    monkeypatch.setattr(objects, "TRIES", 1)


def test_a_store_that_throttles_is_asked_again(bucket: Buckets, flaky: FlakyStore) -> None:
    bucket.put("x", b"12")
    flaky.answers = [503, 503]
    assert names("s3://bucket/x", endpoint=flaky.url) == ["s3://bucket/x"]
    assert flaky.asked == 3


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("answer", [503, 500, "close", "hang"])
def test_a_store_in_trouble_is_an_error_that_may_pass(bucket: Buckets, flaky: FlakyStore, answer: int | str) -> None:
    bucket.put("x", b"12")
    files = Objects(path_of("s3://bucket/x"), flaky.url)
    [file] = files.after("")
    flaky.always = answer
    with pytest.raises(PlaceUnavailable, match="s3://bucket/x cannot be read"):
        list(files.pieces(file, 0))
    with pytest.raises(PlaceUnavailable, match="s3://bucket/x cannot be read"):
        list(files.after(""))
    flaky.always = None
    assert b"".join(files.pieces(file, 0)) == b"12"


@pytest.mark.usefixtures("hasty")
def test_a_store_that_is_not_there_is_an_error_that_may_pass(bucket: Buckets) -> None:
    with pytest.raises(PlaceUnavailable):
        names("s3://bucket/x", endpoint="http://127.0.0.1:9")


def test_a_store_that_refuses_is_an_error_that_stays(flaky: FlakyStore) -> None:
    flaky.always = 403
    with pytest.raises(InvalidInput, match="may not be read") as raised:
        names("s3://bucket/x", endpoint=flaky.url)
    assert "AWS_" in raised.value.hint


def test_a_bucket_elsewhere_is_an_error_that_stays(flaky: FlakyStore) -> None:
    flaky.always = 301
    with pytest.raises(InvalidInput, match="another region") as raised:
        names("s3://bucket/x", endpoint=flaky.url)
    assert "AWS_REGION" in raised.value.hint


@pytest.mark.parametrize(("path", "variables"), [
    ("gs://bucket/x", {"GOOGLE_SKIP_SIGNATURE": "true"}),
    ("az://container/x", {"AZURE_STORAGE_ACCOUNT_NAME": "account", "AZURE_SKIP_SIGNATURE": "true"}),
])  # fmt: skip
def test_the_other_stores_can_be_opened(path: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert isinstance(Objects(path_of(path), ""), Objects)


LISTER = """
import json, resource, sys
from fabric_jobs.sources.items import chunks
from fabric_jobs.sources.source import source_from_json
source = source_from_json({"file_path_lister": {"s3_paths": ["s3://bucket/data/"]}}, within=[])
count, last = 0, b""
for chunk in chunks(source, "{}", batch_size=100, batch_bytes=1 << 18):
    count, last = count + chunk.size, chunk.items or last
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, json.loads(last.splitlines()[-1]))
"""


def test_memory_does_not_grow_with_a_bucket(bucket: Buckets) -> None:
    seen = []
    for count in (10_000, 100_000):
        with HugeStore(count) as store:
            variables = {**os.environ, "AWS_ENDPOINT_URL": store.url}
            done = subprocess.run(
                [sys.executable, "-c", LISTER], capture_output=True, text=True, check=True, env=variables
            )
        found, kilobytes, last = done.stdout.split()
        assert (int(found), last) == (count, f"s3://bucket/data/{count - 1:07}.json")
        seen.append(int(kilobytes))
    assert seen[1] < seen[0] + 8_000, seen


def test_items_come_before_a_listing_ends(bucket: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "CHUNK_SECONDS", 0.0)
    with HugeStore(50_000) as store:
        source = source_from_json(
            {"file_path_lister": {"s3_paths": ["s3://bucket/data/"]}}, within=[], endpoint=store.url
        )
        first = next(chunks(source, "{}", batch_size=1, batch_bytes=1000))
        assert first.size >= 1
        assert store.pages < 10
