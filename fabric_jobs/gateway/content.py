"""Managed content: list, upload, download, delete."""

from __future__ import annotations

import asyncio
import email.utils
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from starlette.convertors import PathConvertor, register_url_convertor
from starlette.responses import Response, StreamingResponse

from fabric_jobs.blobs import PIECE_BYTES, Blob
from fabric_jobs.errors import FabricJobsError, NotFound
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import SKIP, P, header, text, whole
from fabric_jobs.gateway.ranges import is_unchanged, range_of
from fabric_jobs.gateway.uploads import Upload, received
from fabric_jobs.names import content_key
from fabric_jobs.store import content
from fabric_jobs.store.content import Content

MOST = 10_000  # keys in one answer

log = logging.getLogger(__name__)

FILTER = text("filter", "Only keys that begin with this.")
AFTER = text("after", "Only keys after this one, in the order of their bytes: the last of the page before.")
LIMIT = whole("limit", "How many at most.", MOST, low=1, high=MOST)
RANGE = header("range", "`bytes=FIRST-LAST`: only these bytes.")
IF_RANGE = header("if-range", "The `etag` of earlier bytes: if it is another one now, all bytes are sent.")
IF_NONE_MATCH = header("if-none-match", "The `etag` of known bytes: 304 if they are the same.")
HEADERS = {
    "etag": "The SHA-256 of the bytes, in quotes.",
    "accept-ranges": "`bytes`.",
    "last-modified": "When they were uploaded.",
}


async def list_content(call: Call) -> Response:
    """List content by key, as a bare array."""
    found = content.listed(
        call.parts.store.read,
        call.project,
        call.of(FILTER).lstrip("/"),
        after=call.of(AFTER),
        limit=call.of(LIMIT),
        skip=call.of(SKIP),
    )
    return Json([_row(item) for item in found])


async def upload_form(call: Call) -> Response:
    """Store the field `content` of a form under its field `key`; it replaces what was there."""
    async with received(call, is_form=True) as upload:
        return _stored(await keep(call, upload, content_key(upload.key)))


async def upload_content(call: Call) -> Response:
    """Store the body under the key, with its content type; it replaces what was there.

    It is stored when all of it has arrived, or not at all.
    """
    key = content_key(call.path_params["key"])
    async with received(call) as upload:
        return _stored(await keep(call, upload, key))


async def download_content(call: Call) -> Response:
    """Answer with the bytes of a key, each checked before it is sent."""
    return await answer_content(call, content_key(call.path_params["key"]))


async def examine_content(call: Call) -> Response:
    """Answer with the headers of a key, without its bytes."""
    return await answer_content(call, content_key(call.path_params["key"]))


async def delete_content(call: Call) -> Response:
    """Delete a key. Its bytes are removed by `state prune`, unless another key has the same."""
    key, project = content_key(call.path_params["key"]), call.project
    if not await asyncio.wrap_future(call.parts.store.write(lambda tx: content.drop(tx, project, key))):
        raise _missing(key)
    return Json({"success": True, "message": f"content '{key}' is deleted."})


async def keep(call: Call, upload: Upload, key: str) -> Content:
    """Store what has arrived under a valid key, durably, and return it."""
    parts, project = call.parts, call.project

    def store() -> Content:
        with parts.blobs.keeping(upload.incoming) as blob:
            kind = upload.content_type
            return parts.store.write(lambda tx: content.put(tx, project, key, blob, kind)).result()

    return await asyncio.to_thread(store)


async def answer_content(call: Call, key: str) -> Response:
    """Return the answer to a GET or HEAD of a valid key; raise NotFound, RecordsDamaged or PlaceUnavailable."""
    found = content.find(call.parts.store.read, call.project, key)
    if found is None:
        raise _missing(key)
    item, blob = found
    etag = f'"{item.sha256}"'
    headers = {
        "etag": etag,
        "accept-ranges": "bytes",
        "last-modified": email.utils.formatdate(item.updated_at, usegmt=True),
        "x-content-type-options": "nosniff",  # what was uploaded is not a page of this gateway
    }
    if is_unchanged(call.headers, etag):
        return Response(status_code=304, headers=headers)
    wanted = range_of(call.headers, etag, item.size) if call.method == "GET" else None
    if wanted is not None and not wanted:
        body = {"success": False, "message": f"content '{key}' has only {item.size} bytes."}
        return Json(body, status_code=416, headers={"content-range": f"bytes */{item.size}"})
    if wanted is not None:
        headers["content-range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{item.size}"
    return await _sent(call, blob, headers, item.content_type, wanted)


async def _sent(call: Call, blob: Blob, headers: dict[str, str], content_type: str, wanted: range | None) -> Response:
    """Return the bytes of a range; the first piece is read before the answer begins, so that an error has its status."""
    status = 200 if wanted is None else 206
    wanted = range(blob.size) if wanted is None else wanted
    headers |= {"content-length": str(len(wanted)), "content-type": content_type}
    if call.method == "HEAD" or not wanted:
        return Response(status_code=status, headers=headers)
    number = wanted.start // PIECE_BYTES
    first = await asyncio.to_thread(call.parts.blobs.piece, blob, number)
    return StreamingResponse(_pieces(call, blob, wanted, first), status_code=status, headers=headers)


async def _pieces(call: Call, blob: Blob, wanted: range, data: bytes) -> AsyncIterator[bytes]:
    """Yield a range of a blob; the next piece is read while one is sent."""
    number, blobs = wanted.start // PIECE_BYTES, call.parts.blobs
    following: asyncio.Future[bytes] | None = None
    with blobs.using(blob), _noted(blob):
        try:
            while True:
                at = number * PIECE_BYTES
                number += 1
                if number * PIECE_BYTES < wanted.stop:
                    following = asyncio.ensure_future(asyncio.to_thread(blobs.piece, blob, number))
                yield data[max(0, wanted.start - at) : wanted.stop - at]
                if following is None:
                    return
                data, following = await following, None
        finally:
            if following is not None:
                following.cancel()


@contextmanager
def _noted(blob: Blob) -> Iterator[None]:
    """Log why an answer breaks off: the caller only sees that the connection is closed."""
    try:
        yield
    except FabricJobsError as error:
        log.error("an answer with blob %s breaks off: %s", blob.sha256, error.message)
        raise


def _stored(item: Content) -> Json:
    message = f"content '{item.key}' is stored."
    return Json({"success": True, "message": message, "key": item.key, "sha256": item.sha256, "size": item.size})


def _row(item: Content) -> dict[str, Any]:
    at = datetime.fromtimestamp(item.updated_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "Key": item.key,
        "ContentType": item.content_type,
        "LastModified": at,
        "Size": item.size,
        "Sha256": item.sha256,
    }


def _missing(key: str) -> NotFound:
    return NotFound(f"there is no content '{key}'.", hint="List it with `fabric-jobs content list`.")


class _Key(PathConvertor):
    regex = r"[\s\S]*"  # line ends too, so that a key with one gets its own error


register_url_convertor("key", _Key())
ALL, ONE = P + "/content", P + "/content/{key:key}"
CONDITIONS = (RANGE, IF_RANGE, IF_NONE_MATCH)
UNCHANGED = {"304": ("The caller has these bytes already.",)}
OPERATIONS = (
    Operation("GET", ALL, list_content, parameters=(FILTER, AFTER, LIMIT, SKIP), answer="Contents"),
    Operation("POST", ALL, upload_form, body="ContentForm", is_read=False, answer="Stored", role="run"),
    Operation(
        "HEAD", ONE, examine_content, parameters=(IF_NONE_MATCH,), answer="Bytes", others=UNCHANGED, headers=HEADERS
    ),
    Operation(
        "GET",
        ONE,
        download_content,
        parameters=CONDITIONS,
        answer="Bytes",
        others={"206": ("The bytes of the range.", "Bytes"), **UNCHANGED},
        headers=HEADERS,
        errors=("416", "500"),
    ),
    Operation("POST", ONE, upload_content, body="Bytes", is_read=False, answer="Stored", role="run"),
    Operation("DELETE", ONE, delete_content, answer="Done", role="run"),
)
