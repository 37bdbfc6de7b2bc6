"""Managed content over HTTP: what goes in comes out, whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from fabric_jobs.blobs import PIECE_BYTES
from tests.acceptance.live import PROJECT, Live, until
from tests.gateway.test_users import Caller

CONTENT = f"{PROJECT}/content"
BOUNDARY = "----x"
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


class Contents(Caller):
    """Calls the routes of content over TCP."""

    def __init__(self, live: Live) -> None:
        super().__init__(live, tcp=True)
        self.root = live.state / "content"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body, of HEAD too."""
        connection = http.client.HTTPConnection(self.place[0], self.place[1], timeout=60)
        try:
            connection.request(
                method, CONTENT + path, body, {"Authorization": f"Bearer {self.address.token}", **headers}
            )
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def put(self, key: str, data: bytes, **headers: str) -> Any:
        """Upload bytes as they are."""
        status, _, body = self.ask("POST", f"/{quote(key)}", data, **headers)
        assert status == 200, body
        return json.loads(body)

    def keys(self, query: str = "") -> list[Any]:
        """Return the keys of a list."""
        status, _, body = self.ask("GET", query)
        assert status == 200, body
        return [row["Key"] for row in json.loads(body)]

    def is_empty(self) -> bool:
        """Tell whether no byte of content is on the disk."""
        return not [path for path in self.root.rglob("*") if path.is_file()]


def form(*fields: tuple[str, bytes, str]) -> bytes:
    """Return a form with these fields: name, value, other headers."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n{more}\r\n'.encode() + value + b"\r\n"
        for name, value, more in fields
    ]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def test_bytes_come_back_as_they_went(live: Live) -> None:
    calls = Contents(live)
    data = os.urandom(2 * PIECE_BYTES + 5)
    said = calls.put("reports/2026/ü 1.csv", data, **{"content-type": "text/csv; charset=utf-8"})
    digest = hashlib.sha256(data).hexdigest()
    assert (said["success"], said["key"], said["size"], said["sha256"]) == (
        True,
        "reports/2026/ü 1.csv",
        len(data),
        digest,
    )
    for path in ("/reports/2026/%C3%BC%201.csv", "/reports%2F2026%2F%C3%BC%201.csv", "//reports/2026/%C3%BC%201.csv"):
        status, headers, found = calls.ask("GET", path)
        assert (status, found) == (200, data)
        assert headers["content-type"] == "text/csv; charset=utf-8"
        assert (headers["content-length"], headers["etag"]) == (str(len(data)), f'"{digest}"')
        status, head, found = calls.ask("HEAD", path)
        assert (status, found) == (200, b"")
        assert head == headers
    (row,) = json.loads(calls.ask("GET", "")[2])
    assert (row["Key"], row["ContentType"], row["Size"], row["Sha256"]) == (
        "reports/2026/ü 1.csv",
        "text/csv; charset=utf-8",
        len(data),
        digest,
    )
    assert row["LastModified"].endswith("Z")
    assert json.loads(calls.ask("DELETE", path)[2])["success"] is True
    for method in ("GET", "HEAD", "DELETE"):
        assert calls.ask(method, path)[0] == 404


def test_a_form_is_read_in_any_order_and_an_upload_may_be_chunked(live: Live) -> None:
    calls = Contents(live)
    data = b"a\r\n--" + os.urandom(PIECE_BYTES) + b"\r\n--"
    kind = "Content-Type: text/csv\r\n"
    for fields in (
        [("key", b"/a/form", ""), ("content", data, kind)],
        [("content", data, kind), ("other", b"x" * 9000, ""), ("key", b"a/form", "")],
    ):
        status, _, body = calls.ask("POST", "", form(*fields), **FORM)
        assert (status, json.loads(body)["key"]) == (200, "a/form")
        assert calls.ask("GET", "/a/form")[2] == data
        assert calls.ask("HEAD", "/a/form")[1]["content-type"] == "text/csv"
        calls.ask("DELETE", "/a/form")
    chunks = [data[at : at + 70_000] for at in range(0, len(data), 70_000)]
    assert calls.ask("POST", "/chunked", iter(chunks))[0] == 200
    assert calls.ask("GET", "/chunked")[2] == data
    assert calls.put("empty", b"")["size"] == 0
    assert calls.ask("GET", "/empty")[::2] == (200, b"")
    assert calls.ask("HEAD", "/empty")[1]["content-length"] == "0"


def test_lists_are_by_prefix_and_paged(live: Live) -> None:
    calls = Contents(live)
    assert calls.keys() == []
    for key in ("b/2", "a", "b/1", "B/1", "b", "c", "b%"):
        calls.put(key, b"x")
    assert calls.keys() == ["B/1", "a", "b", "b%", "b/1", "b/2", "c"]
    assert calls.keys("?filter=b/") == calls.keys("?filter=/b/") == ["b/1", "b/2"]
    assert calls.keys("?filter=b%25&unknown=1") == ["b%"]
    assert calls.keys("?filter=b&limit=2&skip=1") == ["b%", "b/1"]
    assert calls.keys("?filter=b&after=b/1") == ["b/2"]
    assert calls.keys("?filter=x") == []
    for query in ("?limit=0", "?limit=x", "?skip=-1"):
        assert calls.ask("GET", query)[0] == 400


def test_ranges_and_conditions(live: Live) -> None:
    calls = Contents(live)
    data = os.urandom(3 * PIECE_BYTES)
    etag = f'"{calls.put("x", data)["sha256"]}"'
    size = len(data)
    wanted: list[tuple[str, range]] = [
        ("bytes=0-0", range(1)),
        ("bytes=5-", range(5, size)),
        (f"bytes={PIECE_BYTES - 2}-{2 * PIECE_BYTES + 1}", range(PIECE_BYTES - 2, 2 * PIECE_BYTES + 2)),
        ("bytes=-3", range(size - 3, size)),
        (f"bytes=-{size + 1}", range(size)),
        (f"bytes=1-{size * 9}", range(1, size)),
    ]
    for text, part in wanted:
        status, headers, found = calls.ask("GET", "/x", range=text)
        assert (status, found) == (206, data[part.start : part.stop]), text
        assert headers["content-range"] == f"bytes {part.start}-{part.stop - 1}/{size}"
        assert headers["content-length"] == str(len(part))
    for text in (f"bytes={size}-", "bytes=-0", f"bytes={size}-{size + 1}"):
        status, headers, found = calls.ask("GET", "/x", range=text)
        assert (status, headers["content-range"]) == (416, f"bytes */{size}")
        assert json.loads(found)["success"] is False
    for text in ("bytes=2-1", "bytes=0-1,5-6", "lines=1-2", "bytes=-", "bytes=a-b", f"bytes={'9' * 30}-"):
        assert calls.ask("GET", "/x", range=text)[::2] == (200, data), text
    assert calls.ask("GET", "/x", **{"range": "bytes=0-0", "if-range": etag})[0] == 206
    assert calls.ask("GET", "/x", **{"range": "bytes=0-0", "if-range": '"other"'})[0] == 200
    for known in (etag, f'"other", W/{etag}', "*"):
        assert calls.ask("GET", "/x", **{"if-none-match": known})[::2] == (304, b"")
    assert calls.ask("GET", "/x", **{"if-none-match": '"other"'})[0] == 200


def test_keys_that_differ_in_case_or_nest_do_not_meet(live: Live) -> None:
    calls = Contents(live)
    keys = ["a", "A", "a/b", "a/B", "a/b/c", "x" * 1000, "a\\..\\b", "%2e%2e", "aux", "~"]
    for key in keys:
        calls.put(key, key.encode())
    assert sorted(calls.keys()) == sorted(keys)
    for key in keys:
        assert calls.ask("GET", f"/{quote(key)}")[2] == key.encode()


@pytest.mark.parametrize(
    "path",
    [
        "/../x",
        "/a/../../x",
        "/a/./x",
        "/%2e%2e/x",
        "/a%2F..%2Fx",
        "/a//x",
        "/a/",
        "/a%00b",
        "/a%0Ab",
        "/%FF",
        f"/{'x' * 1025}",
    ],
)
def test_bad_keys_are_refused_and_nothing_is_stored(live: Live, path: str) -> None:
    calls = Contents(live)
    for method, body in (("POST", b"x"), ("GET", None), ("HEAD", None), ("DELETE", None)):
        assert calls.ask(method, path, body)[0] == 400, method
    assert calls.is_empty()
    assert "key of content" in calls.refused(400, "POST", CONTENT + path, b"x")


BAD_FORMS: list[tuple[bytes, dict[str, str]]] = [
    (form(("key", b"a", ""), ("content", b"x", ""))[:-8], FORM),
    (form(("key", b"a", ""), ("content", b"x" * 3_000_000, ""))[:2_000_000], FORM),
    (form(("key", b"a", "")), FORM),
    (form(("content", b"x", "")), FORM),
    (form(("key", b"a", ""), ("content", b"x", ""), ("content", b"y", "")), FORM),
    (form(("key", b"a", ""), ("key", b"b", ""), ("content", b"x", "")), FORM),
    (form(("key", b"../a", ""), ("content", b"x", "")), FORM),
    (form(("key", b"\xff", ""), ("content", b"x", "")), FORM),
    (form(("key", b"", ""), ("content", b"x", "")), FORM),
    (b"nothing of a form", FORM),
    (b"", FORM),
    (b"--" + b"----x\r\n" + b"a" * 100_000, FORM),
    (form(("key", b"a", ""), ("content", b"x", "")), {"content-type": "multipart/form-data"}),
    (b"x", {"content-type": "application/json"}),
    (b"x", {}),
]


@pytest.mark.parametrize("number", range(len(BAD_FORMS)))
def test_broken_forms_are_refused_and_nothing_is_stored(live: Live, number: int) -> None:
    calls = Contents(live)
    body, headers = BAD_FORMS[number]
    status, _, said = calls.ask("POST", "", body, **headers)
    assert (status, json.loads(said)["success"]) == (400, False)
    assert calls.keys() == []
    assert calls.is_empty()


def test_too_much_is_refused_before_and_while_it_arrives(live: Live) -> None:
    live.environment["FABRIC_JOBS_CONTENT_BYTES"] = "1MiB"
    calls = Contents(live)
    calls.put("most", bytes(1 << 20))
    assert calls.ask("POST", "", form(("content", bytes(1 << 20), ""), ("key", b"form", "")), **FORM)[0] == 200
    for body in (bytes((1 << 20) + 1), iter([bytes(1 << 20), b"x"])):
        status, _, said = calls.ask("POST", "/more", body)
        assert (status, json.loads(said)["success"]) == (413, False)
    many = form(("content", bytes((1 << 20) + 1), ""), ("key", b"more", ""))
    assert calls.ask("POST", "", many, **FORM)[0] == 413
    assert calls.ask("POST", "", form(("key", b"x" * 5000, ""), ("content", b"", "")), **FORM)[0] == 413
    assert calls.keys() == ["form", "most"]
    assert not list((calls.root / "incoming").iterdir())


def begin(calls: Contents, key: str, size: int, data: bytes) -> socket.socket:
    """Begin an upload of `size` bytes, and send only `data`."""
    connection = socket.create_connection(calls.place, timeout=60)
    head = [f"POST {CONTENT}/{key} HTTP/1.1", "Host: x", f"Authorization: Bearer {calls.address.token}"]
    connection.sendall("\r\n".join([*head, f"Content-Length: {size}", "", ""]).encode() + data)
    return connection


def incoming(calls: Contents) -> list[int]:
    """Return the sizes of uploads that have not ended."""
    place = calls.root / "incoming"
    return [path.stat().st_size for path in place.iterdir()] if place.exists() else []


def test_of_half_an_upload_nothing_is_stored_and_the_old_content_stays(live: Live) -> None:
    calls = Contents(live)
    calls.put("x", b"old")
    upload = begin(calls, "x", 5_000_000, bytes(3_000_000))
    until(lambda: [size for size in incoming(calls) if size >= PIECE_BYTES], "a part is on the disk")
    assert calls.ask("GET", "/x")[2] == b"old"
    upload.close()
    until(lambda: not incoming(calls), "the part is gone")
    assert calls.ask("GET", "/x")[2] == b"old"
    assert len([path for path in calls.root.rglob("*") if path.is_file()]) == 1


def test_a_gateway_killed_in_the_middle_of_an_upload_keeps_what_was_stored(live: Live) -> None:
    calls = Contents(live)
    calls.put("x", b"old")
    upload = begin(calls, "x", 5_000_000, bytes(3_000_000))
    until(lambda: [size for size in incoming(calls) if size >= PIECE_BYTES], "a part is on the disk")
    os.kill(calls.address.pid, signal.SIGKILL)
    upload.close()
    later = Contents(live)
    assert later.address.pid != calls.address.pid
    assert incoming(later) == []
    assert later.ask("GET", "/x")[2] == b"old"
    later.put("x", b"new")
    os.kill(later.address.pid, signal.SIGKILL)
    assert Contents(live).ask("GET", "/x")[2] == b"new"


def test_of_two_uploads_at_once_one_is_stored_whole(live: Live) -> None:
    calls = Contents(live)
    both = [bytes([number]) * (2 * PIECE_BYTES + number) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda data: calls.put("x", data), both))
    assert calls.ask("GET", "/x")[2] in both
    assert incoming(calls) == []


def test_damaged_content_is_an_error_not_an_answer(live: Live) -> None:
    calls = Contents(live)
    data = bytes(2 * PIECE_BYTES) + b"end"
    digest = calls.put("x", data)["sha256"]
    path: Path = calls.root / digest[:2] / digest
    path.write_bytes(data[:-1] + b"x")
    with pytest.raises(http.client.IncompleteRead) as broken:
        calls.ask("GET", "/x")
    assert len(broken.value.partial) <= 2 * PIECE_BYTES
    status, _, said = calls.ask("GET", "/x", range="bytes=-1")
    assert (status, json.loads(said)["success"]) == (500, False)
    path.unlink()
    assert calls.ask("GET", "/x")[0] == 500
    assert "breaks off" in (live.state / "owner.log").read_text()
    calls.put("x", data)
    assert calls.ask("GET", "/x")[2] == data


def test_equal_bytes_are_stored_once(live: Live) -> None:
    calls = Contents(live)
    for key in ("a", "b"):
        calls.put(key, b"same")
    assert len([path for path in calls.root.rglob("*") if path.is_file()]) == 1
    calls.ask("DELETE", "/a")
    assert calls.ask("GET", "/b")[2] == b"same"


def test_a_media_type_that_is_none_is_not_sent_back(live: Live) -> None:
    calls = Contents(live)
    for kind in ("none", "text/\tplain", "é/é", f"text/{'x' * 300}"):
        calls.put("x", b"x", **{"content-type": kind})
        assert calls.ask("HEAD", "/x")[1]["content-type"] == "application/octet-stream"
