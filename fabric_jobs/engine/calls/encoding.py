"""Decodes the body of an answer: Content-Encoding and transfer codings, and the characters of a text."""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Iterable

ACCEPTED = "gzip, deflate"
GZIP, ZLIB, RAW = 31, 15, -15  # zlib's window bits for each format
PLAIN = frozenset({"", "identity", "chunked"})  # the HTTP parser has removed the chunks
FORMS = {"gzip": (GZIP,), "x-gzip": (GZIP,), "deflate": (ZLIB, RAW)}  # many servers send raw deflate
CHARSET = re.compile(r""";\s*charset\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE)
MEMBERS = 256  # at most, in a gzip file: the rest is copied after each


class Undecodable(Exception):
    """A body is not what its headers declare, or its encoding is unknown."""

    def __init__(self, cause: str, *, again: bool) -> None:
        super().__init__(cause)
        self.cause = cause
        self.again = again  # a retry may help


def codings_of(headers: Iterable[str]) -> tuple[str, ...]:
    """Return the codings of a body from its headers, in the order in which they were applied."""
    names = (name.strip().lower() for value in headers for name in value.split(","))
    return tuple(name for name in names if name not in PLAIN)


def decoded(body: bytes, codings: tuple[str, ...], limit: int) -> bytes:
    """Return the decoded body, at most `limit` bytes; raise Undecodable."""
    for coding in reversed(codings if body else ()):
        if coding not in FORMS:
            raise Undecodable(f"its body is encoded as '{coding}'; only gzip and deflate can be decoded", again=False)
        body = _decoded(body, coding, limit)
    return body


def _decoded(body: bytes, coding: str, limit: int) -> bytes:
    failure: zlib.error | None = None
    for form in FORMS[coding]:
        try:
            return _inflated(body, form, limit)
        except zlib.error as error:
            failure = failure or error
    raise Undecodable(f"its body is not the {coding} that its headers declare: {failure}", again=True) from failure


def _inflated(body: bytes, form: int, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    for _ in range(MEMBERS):
        stream = zlib.decompressobj(form)
        parts.append(stream.decompress(body, limit + 1 - size))
        size += len(parts[-1])
        if size > limit:
            raise Undecodable(f"its body is longer than {limit:,} bytes once it is decoded", again=False)
        if not stream.eof:
            raise zlib.error("it ends too early")
        body = stream.unused_data.lstrip(b"\0")  # some servers pad it
        if not body:
            return b"".join(parts)
    raise Undecodable(f"its body has more than {MEMBERS} compressed parts", again=False)


def text_of(body: bytes, content_type: str) -> str:
    """Return a body as text in the declared charset, else in UTF-8; raise Undecodable when that would lose something."""
    charset = charset_of(content_type)
    try:
        return body.decode(charset)
    except UnicodeDecodeError as error:
        kind = f" of the type {content_type}" if content_type else ""
        raise Undecodable(f"its body{kind} is neither JSON nor text in {charset}", again=False) from error


def charset_of(content_type: str) -> str:
    """Return the charset of a Content-Type; utf-8 when it names none, or an unknown one."""
    found = CHARSET.search(content_type)
    charset = found[1] if found else "utf-8"
    try:
        "".encode(charset)  # LookupError also for a codec that is not for text
    except LookupError:
        return "utf-8"
    return codecs.lookup(charset).name
