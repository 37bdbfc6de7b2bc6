"""Receives bodies of any length into blobs: as they are, or as a form. Memory stays flat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fabric_jobs import sizes
from fabric_jobs.blobs import PIECE_BYTES, Incoming
from fabric_jobs.errors import InvalidInput, RecordTooLarge
from fabric_jobs.gateway.form import Form, wrong
from fabric_jobs.gateway.operation import Call

OCTETS = "application/octet-stream"
FIELD_BYTES = 4096  # of a form, besides the content
TYPE_CHARACTERS = 255  # of a media type
FORM = "Send the fields 'key' and 'content' as a form, or the bytes themselves to /content/{key}."


def too_large(limit: int) -> RecordTooLarge:
    """Return the error for content above the limit."""
    return RecordTooLarge(
        f"the content is over the limit of {sizes.spelled(limit)}.",
        hint="Nothing was stored. FABRIC_JOBS_CONTENT_BYTES sets the limit.",
    )


@dataclass
class Upload:
    """What has arrived."""

    incoming: Incoming
    limit: int  # bytes
    refusal: Callable[[int], RecordTooLarge] = too_large  # of more; takes the limit
    content_type: str = OCTETS
    _parts: list[bytes] = field(default_factory=list)
    _key: bytearray = field(default_factory=bytearray)
    _gathered: int = 0
    _size: int = 0
    _writing: asyncio.Future[None] | None = None

    @property
    def key(self) -> str:
        """The key, as a form says it; raise InvalidInput if it is not text."""
        try:
            return self._key.decode()
        except UnicodeDecodeError as error:
            raise InvalidInput("the field 'key' is not UTF-8.", hint="Nothing was stored.") from error

    async def add(self, data: bytes) -> None:
        """Take bytes, and write them while the next ones arrive; raise RecordTooLarge above the limit."""
        self._size += len(data)
        if self._size > self.limit:
            raise self.refusal(self.limit)
        self._parts.append(data)
        self._gathered += len(data)
        if self._gathered >= PIECE_BYTES:
            await self._write()

    async def add_key(self, data: bytes) -> None:
        """Take bytes of the key; raise RecordTooLarge for a long one."""
        self._key += data
        if len(self._key) > FIELD_BYTES:
            raise RecordTooLarge(f"the field 'key' is over the limit of {FIELD_BYTES:,} bytes.")

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
        raise too_large(limit)
    async with begun(call, limit) as upload:
        if is_form:
            await _read_form(call, upload)
        else:
            upload.content_type = media_type(call.headers.get("content-type", ""))
            async for part in call.stream():
                if part:
                    await upload.add(part)
        await upload.end()
        yield upload


@asynccontextmanager
async def begun(call: Call, limit: int, refusal: Callable[[int], RecordTooLarge] = too_large) -> AsyncIterator[Upload]:
    """Yield an upload that has nothing yet. What is not kept inside the `with` block is gone after it."""
    incoming = await asyncio.to_thread(call.parts.blobs.begin)
    try:
        yield Upload(incoming, limit, refusal)
    finally:
        await asyncio.to_thread(incoming.discard)  # a write under way comes first


async def _read_form(call: Call, upload: Upload) -> None:
    fields = {"key": upload.add_key, "content": upload.add}
    form = Form(call.headers.get("content-type", ""), fields, hint=FORM)
    await form.read(call.stream())
    if sorted(form.names) != ["content", "key"]:
        raise wrong("it needs one field 'key' and one 'content'")
    upload.content_type = media_type(form.types["content"])


def media_type(text: str) -> str:
    """Return a media type that can be sent back as a header; for any other text, that of any bytes."""
    is_good = "/" in text and text.isascii() and text.isprintable() and len(text) <= TYPE_CHARACTERS
    return text if is_good else OCTETS
