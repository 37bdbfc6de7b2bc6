"""Answers of servers: every legal form is accepted, and everything else is a clear error."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from fabric_jobs.engine.calls.connection import CallFailed, Pool, Reply, Request, Server
from fabric_jobs.engine.calls.target import DaemonTarget, ExternalTarget, Unusable
from fabric_jobs.routing import Node

LIMIT = 100_000
VALUE = {"payload": {"words": ["ä", "€"]}}
BODY = json.dumps(VALUE).encode()


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


@asynccontextmanager
async def answering(*said: bytes) -> AsyncIterator[Server]:
    """Serve these answers in turn. Each connection is closed after an answer, unless that has a length."""
    left = list(said)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while left:
            if not await reader.readline():
                break
            while (await reader.readline()).strip():
                pass
            answer = left.pop(0)
            writer.write(answer)
            await writer.drain()
            if b"keep" not in answer:
                break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Server(host="127.0.0.1", port=server.sockets[0].getsockname()[1])


def asked(*said: bytes, method: str = "GET", times: int = 1) -> list[Reply]:
    """Return the answers as a pool reads them."""

    async def ask() -> list[Reply]:
        async with answering(*said) as server:
            pool = Pool(server)
            request = Request(method=method, path="/", host="x").encode(b"")
            found = [await pool.ask(request, 5) for _ in range(times)]
            pool.close()
            return found

    return asyncio.run(ask())


def answer(*headers: str, body: bytes = BODY, status: str = "200 OK", version: str = "1.1") -> bytes:
    lines = [f"HTTP/{version} {status}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def whole(*headers: str, body: bytes = BODY, status: str = "200 OK") -> bytes:
    return answer(f"Content-Length: {len(body)}", *headers, body=body, status=status)


CHUNKED = b"".join(b"%x;x=1\r\n%s\r\n" % (len(part), part) for part in (BODY[:5], BODY[5:])) + b"0\r\nX: y\r\n\r\n"
PACKED = gzip.compress(BODY)
PACKED_CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(PACKED), PACKED)
TAKEN = {
    "length": whole(),
    "until the end": answer(),
    "http/1.0": answer(version="1.0"),
    "chunks": answer("Transfer-Encoding: chunked", body=CHUNKED),
    "after 100 and 103": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + whole(),
    "gzip": whole("Content-Encoding: gzip", body=gzip.compress(BODY)),
    "x-gzip, in two parts, padded": whole(
        "content-encoding: X-GZIP", body=gzip.compress(BODY[:7]) + gzip.compress(BODY[7:]) + b"\0\0"
    ),
    "gzip in chunks": answer("Content-Encoding: gzip", "Transfer-Encoding: chunked", body=PACKED_CHUNKS),
    "gzip as transfer coding": answer("Transfer-Encoding: gzip, chunked", body=PACKED_CHUNKS),
    "gzip until the end": answer("Content-Encoding: gzip", body=PACKED, version="1.0"),
    "deflate": whole("Content-Encoding: deflate", body=zlib.compress(BODY)),
    "raw deflate": whole("Content-Encoding: deflate", body=raw_deflate(BODY)),
    "both": whole("Content-Encoding: deflate, gzip", body=gzip.compress(zlib.compress(BODY))),
    "identity": whole("Content-Encoding: identity"),
    "byte order mark": whole(body=b"\xef\xbb\xbf" + BODY),
}


def external() -> ExternalTarget:
    node: Any = type("Node", (), {"properties": {}, "output": "out", "outputs": ("out",)})
    server = Server(host="api", port=80)
    return ExternalTarget(node=cast(Node, node), server=server, base="/a/b?c=1", headers={}, host="api")


def daemon() -> DaemonTarget:
    return DaemonTarget(node=external().node, envelope={}, headers={})


@pytest.mark.parametrize("said", TAKEN.values(), ids=TAKEN)
def test_every_legal_answer_is_taken(said: bytes) -> None:
    (found,) = asked(said)
    assert json.loads(external().response(found, LIMIT)[1]) == VALUE
    assert json.loads(daemon().response(found, LIMIT)[1]) == VALUE["payload"]


@pytest.mark.parametrize(
    "said",
    [
        answer(body=b"", version="1.0"),
        answer(body=b""),
        answer("Connection: close", body=b""),
        whole(body=b""),
        whole("Content-Encoding: gzip", body=b""),
        answer(status="204 No Content", body=b""),
        answer("Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    ],
)
def test_an_empty_answer_is_an_answer(said: bytes) -> None:
    (found,) = asked(said)
    assert external().response(found, LIMIT) == ("out", b"null")
    if found.status == 204:
        assert daemon().response(found, LIMIT) == ("out", b"{}")
    else:
        with pytest.raises(Unusable, match="not JSON"):
            daemon().response(found, LIMIT)


def test_the_answer_to_head_has_no_body_whatever_it_says() -> None:
    head = answer("Content-Length: 1000", "Content-Encoding: gzip", body=b"")
    (found,) = asked(head, method="HEAD")
    assert external().response(found, LIMIT) == ("out", b"null")


def test_a_connection_is_kept_also_after_an_answer_without_a_body() -> None:
    said = [answer("X: keep", status="204 No Content", body=b""), whole("X: keep"), whole()]
    assert [found.status for found in asked(*said, times=3)] == [204, 200, 200]


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX: y",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        answer(f"Content-Length: {len(BODY) + 1}"),
        answer("Transfer-Encoding: chunked", body=CHUNKED[:-5]),
        b"SSH-2.0-x\r\n\r\n",
    ],
)
def test_half_an_answer_is_none(said: bytes) -> None:
    with pytest.raises(CallFailed, match=r"connection was lost|is not HTTP"):
        asked(said)


BOMB = gzip.compress(b" " * 50_000_000)
REFUSED = {
    "brotli": (
        whole("Content-Encoding: br"),
        "its body is encoded as 'br'; only gzip and deflate can be decoded",
        False,
    ),
    "brotli of an error": (
        whole("Content-Encoding: br", status="500 X"),
        "answered 500, and its body is encoded as 'br'",
        False,
    ),
    "no gzip": (whole("Content-Encoding: gzip"), "not the gzip that its headers declare", True),
    "half a gzip": (whole("Content-Encoding: gzip", body=PACKED[:-9]), "it ends too early", True),
    "no deflate": (whole("Content-Encoding: deflate"), "not the deflate that its headers declare", True),
    "bomb": (whole("Content-Encoding: gzip", body=BOMB), "longer than 104,096 bytes once it is decoded", False),
    "bomb in a bomb": (
        whole("Content-Encoding: gzip, gzip", body=gzip.compress(BOMB)),
        "longer than 104,096 bytes once it is decoded",
        False,
    ),
    "many parts": (
        whole("Content-Encoding: gzip", body=gzip.compress(b"") * 1000),
        "more than 256 compressed parts",
        False,
    ),
    "redirect": (
        whole("Location: ../new?x=1", status="302 Found"),
        r"answered 302 and points to http://api/new\?x=1; redirects are not followed",
        False,
    ),
    "redirect elsewhere": (whole("Location: https://b/c", status="308 X"), "308 and points to https://b/c;", False),
    "switching": (answer(status="101 Switching", body=b""), "answered 101", True),
    "error": (whole(status="503 X"), "answered 503", True),
    "image": (
        whole("Content-Type: image/png", body=b"\x89PNG\r\n"),
        "type image/png is neither JSON nor text in utf-8",
        False,
    ),
}


@pytest.mark.parametrize(("said", "words", "again"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_a_payload_is_an_error_in_words(said: bytes, words: str, again: bool) -> None:
    (found,) = asked(said)
    with pytest.raises(Unusable, match=words) as caught:
        external().response(found, LIMIT)
    assert caught.value.again == again
    with pytest.raises(Unusable):
        daemon().response(found, LIMIT)


@pytest.mark.parametrize("status", ["200 OK", "500 Oh"])
def test_the_words_of_an_error_are_decoded_too(status: str) -> None:
    (found,) = asked(whole("Content-Encoding: gzip", body=gzip.compress(b"why"), status=status))
    with pytest.raises(Unusable) as caught:
        daemon().response(found, LIMIT)
    assert caught.value.printed.lines == ("why",)


@pytest.mark.parametrize(
    ("content_type", "body", "payload"),
    [
        ("text/plain; charset=ISO-8859-1", "é".encode("latin-1"), "é"),
        ('application/json; charset="iso-8859-1"', '{"a": "é"}'.encode("latin-1"), {"a": "é"}),
        (
            "application/json; charset=iso-8859-1",
            '{"a": "é"}'.encode(),
            {"a": "é"},
        ),  # JSON is UTF-8, whatever the header says
        ("text/plain; charset=rot13", b"abc", "abc"),
        ("", "é".encode(), "é"),
    ],
)
def test_a_text_is_read_in_its_charset(content_type: str, body: bytes, payload: object) -> None:
    (found,) = asked(whole(f"Content-Type: {content_type}", body=body))
    assert json.loads(external().response(found, LIMIT)[1]) == payload


def test_an_answer_that_nobody_asked_for_answers_nothing() -> None:
    late = whole("X: keep") + whole(status="408 Request Timeout", body=b"late")
    first, second = asked(late, whole(), times=2)
    assert (first.status, second.status) == (200, 200)
