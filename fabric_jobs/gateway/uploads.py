"""Receives bodies of any length into blobs: as they are, or as a form. Memory stays flat."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fabric_jobs import sizes
from fabric_jobs.blobs import PIECE_BYTES, Incoming
from fabric_jobs.errors import InvalidInput, RecordTooLarge
from fabric_jobs.gateway.operation import Call

OCTETS = "application/octet-stream"
FIELD_BYTES = 4096  # of a form, besides the content
TYPE_CHARACTERS = 255  # of a media type


@dataclass
class Upload:
    """What has arrived."""

    incoming: Incoming
    key: str = ""  # as the form says
    content_type: str = OCTETS
    _limit: int = 0
    _parts: list[bytes] = field(default_factory=list)
    _gathered: int = 0
    _size: int = 0
    _writing: asyncio.Future[None] | None = None

    async def add(self, data: bytes) -> None:
        """Take bytes, and write them while the next ones arrive; raise RecordTooLarge above the limit."""
        self._size += len(data)
        if self._size > self._limit:
            raise _too_large(self._limit)
        self._parts.append(data)
        self._gathered += len(data)
        if self._gathered >= PIECE_BYTES:
            await self._write()

    async def end(self) -> None:
        """Write the rest."""
        await self._write()
        await self.settle()

    async def settle(self) -> None:
        """Wait for the write under way."""
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    async def _write(self) -> None:
        await self.settle()
        data, self._parts, self._gathered = b"".join(self._parts), [], 0
        self._writing = asyncio.ensure_future(asyncio.to_thread(self.incoming.write, data))


@asynccontextmanager
async def received(call: Call, *, is_form: bool = False) -> AsyncIterator[Upload]:
    """Yield the whole body of a request. What is not kept inside the `with` block is gone after it.

    Raises RecordTooLarge, ClientDisconnect, InvalidInput for a form that is none, and PlaceUnavailable for a full disk.
    """
    limit = call.parts.settings.content_bytes
    slack = 2 * FIELD_BYTES if is_form else 0
    if int(call.headers.get("content-length") or 0) > limit + slack:
        raise _too_large(limit)
    incoming = await asyncio.to_thread(call.parts.blobs.begin)
    upload = Upload(incoming, _limit=limit)
    try:
        if is_form:
            await _Form(upload, call.headers.get("content-type", "")).read(call)
        else:
            upload.content_type = media_type(call.headers.get("content-type", ""))
            async for part in call.stream():
                if part:
                    await upload.add(part)
        await upload.end()
        yield upload
    finally:
        await asyncio.to_thread(incoming.discard)  # a write under way comes first


class _Form:
    """A form with the fields `key` and `content`, in any order; others are skipped."""

    def __init__(self, upload: Upload, content_type: str) -> None:
        from python_multipart.multipart import MultipartParser, parse_options_header  # late: only forms need it

        logging.getLogger("python_multipart").setLevel(logging.ERROR)  # a broken form is answered, and not logged
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not 0 < len(boundary) <= 200:
            raise InvalidInput(
                "the body is not multipart/form-data with a boundary.",
                hint="Send the fields 'key' and 'content' as a form, or the bytes themselves to /content/{key}.",
            )
        self._options = parse_options_header
        self._upload = upload
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._field = ""  # of the part that is being read
        self._key = bytearray()
        self._content: list[bytes] = []
        self._seen: list[str] = []
        self._is_whole = False
        callbacks: Any = {name: getattr(self, f"_{name}") for name in CALLBACKS}
        self._parser = MultipartParser(boundary, callbacks)

    async def read(self, call: Call) -> None:
        """Read the body of a request."""
        from python_multipart.exceptions import FormParserError

        try:
            async for part in call.stream():
                self._parser.write(part)
                content, self._content = self._content, []
                for piece in content:
                    await self._upload.add(piece)
        except FormParserError as error:
            raise InvalidInput(f"the form cannot be read: {error}.", hint="Nothing was stored.") from error
        if not self._is_whole or sorted(self._seen) != ["content", "key"]:
            what = "it has no end" if not self._is_whole else "it needs one field 'key' and one 'content'"
            raise InvalidInput(f"the form cannot be read: {what}.", hint="Nothing was stored.")
        try:
            self._upload.key = self._key.decode()
        except UnicodeDecodeError as error:
            raise InvalidInput("the field 'key' is not UTF-8.", hint="Nothing was stored.") from error

    def _on_part_begin(self) -> None:
        self._headers, self._name, self._value, self._field = {}, b"", b"", ""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _on_headers_finished(self) -> None:
        _, options = self._options(self._headers.get(b"content-disposition", b""))
        self._field = options.get(b"name", b"").decode(errors="replace")
        if self._field in ("key", "content"):
            self._seen.append(self._field)
        if self._field == "content":
            self._upload.content_type = media_type(self._headers.get(b"content-type", b"").decode("latin-1"))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field == "content" and self._seen.count("content") == 1:
            self._content.append(data[start:end])
        elif self._field == "key":
            self._key += data[start:end]
            if len(self._key) > FIELD_BYTES:
                raise RecordTooLarge(f"the field 'key' is over the limit of {FIELD_BYTES:,} bytes.")

    def _on_end(self) -> None:
        self._is_whole = True


CALLBACKS = (
    "on_part_begin",
    "on_header_field",
    "on_header_value",
    "on_header_end",
    "on_headers_finished",
    "on_part_data",
    "on_end",
)


def media_type(text: str) -> str:
    """Return a media type that can be sent back as a header; for any other text, that of any bytes."""
    is_good = "/" in text and text.isascii() and text.isprintable() and len(text) <= TYPE_CHARACTERS
    return text if is_good else OCTETS


def _too_large(limit: int) -> RecordTooLarge:
    return RecordTooLarge(
        f"the content is over the limit of {sizes.spelled(limit)}.",
        hint="Nothing was stored. FABRIC_JOBS_CONTENT_BYTES sets the limit.",
    )
