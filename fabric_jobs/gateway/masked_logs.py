"""Reads logs as they are shown: with the secrets of their project hidden, and otherwise byte for byte.

A secret that is cut by the end of a page is hidden in both pages.
"""

from __future__ import annotations

from dataclasses import replace

from fabric_jobs.executors.attempt_files.pages import offsets
from fabric_jobs.executors.base import STREAMS, Executor, LogPage, LogQuery
from fabric_jobs.gateway.followers import AttemptLog
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.masks import Masks


def page(parts: Parts, log: AttemptLog, query: LogQuery) -> LogPage:
    """Return a page of a log; raise what `Executor.page` does."""
    executor, handle = parts.executors[log.executor], str(log.handle)
    found = executor.page(handle, query)
    masks = parts.secrets.masks(log.task.project_id)
    if not masks or not found.parts:
        return found
    shown = {
        stream: _stream(executor, handle, masks, stream, end, b"".join(_of(found, stream)))
        for stream, end in zip(STREAMS, offsets(found.cursor), strict=True)
    }
    masked = []
    for each in found.parts:
        text = shown[each.stream]
        masked.append(replace(each, bytes=text[: len(each.bytes)]))
        shown[each.stream] = text[len(each.bytes) :]
    return replace(found, parts=tuple(masked))


def part(parts: Parts, log: AttemptLog, stream: str, offset: int, limit: int) -> bytes:
    """Return at most `limit` bytes of a stream from `offset` on; raise what `Executor.logs` does."""
    executor, handle = parts.executors[log.executor], str(log.handle)
    data = executor.logs(handle, stream, offset, limit)
    masks = parts.secrets.masks(log.task.project_id)
    return _stream(executor, handle, masks, stream, offset + len(data), data) if masks and data else data


def merged(parts: Parts, log: AttemptLog, limit: int) -> tuple[bytes, bool]:
    """Return the first `limit` bytes of a log, merged, and whether there are more; raise what `Executor.merged` does."""
    text = parts.executors[log.executor].merged(str(log.handle), limit + 1)
    masks = parts.secrets.masks(log.task.project_id)
    return masks.hide(text, is_cut=True)[:limit], len(text) > limit


def _of(page: LogPage, stream: str) -> list[bytes]:
    return [each.bytes for each in page.parts if each.stream == stream]


def _stream(executor: Executor, handle: str, masks: Masks, stream: str, end: int, data: bytes) -> bytes:
    """Return what a stream has before byte `end`, with what surrounds it considered."""
    begin = end - len(data)
    first = max(0, begin - masks.longest)
    before = executor.logs(handle, stream, first, begin - first) if data and first < begin else b""
    after = executor.logs(handle, stream, end, masks.longest) if data else b""
    return masks.hide(data + after, before=before, is_cut=True)[: len(data)]
