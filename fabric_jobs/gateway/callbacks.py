"""Delivers callbacks, and shows those that were not delivered (docs/howto/callbacks.md)."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from fabric_jobs.errors import FabricJobsError, NotFound, PlaceUnavailable
from fabric_jobs.gateway.activations import record_of
from fabric_jobs.gateway.answers import milliseconds
from fabric_jobs.gateway.json_response import Json, dumps
from fabric_jobs.gateway.lookup import find_activation
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import P, whole
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.store import activations, callbacks
from fabric_jobs.store.callbacks import Callback

if TYPE_CHECKING:
    from fabric_jobs.callback_targets import Allowance

log = logging.getLogger(__name__)

TRIES = 12
LONGEST_PAUSE_SECONDS = 600.0  # between two tries; the first is 1 s, and each is twice the one before
TOGETHER = 8  # posted at a time
LOOK_SECONDS = 60.0
AGAIN_SECONDS = 5.0  # after the disk failed
LIMIT = whole("limit", "How many at most.", 100, low=1, high=10_000)


class Deliveries:
    """Posts the records of ended activations to their callbacks, until each was answered or has used up its tries."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._running: dict[str, asyncio.Task[None]] = {}  # by activation

    async def run(self) -> None:
        """Deliver until cancelled. A delivery that is cut off is repeated by the next owner."""
        try:
            while not self._parts.live.closing:
                try:
                    await self._look()
                except FabricJobsError as error:
                    log.warning("callbacks have to wait: %s", error.message)
                    await asyncio.sleep(AGAIN_SECONDS)
        finally:
            for running in self._running.values():
                running.cancel()

    async def _look(self) -> None:
        """Start what is due, and return when something may have changed."""
        live, sql, now = self._parts.live, self._parts.store.read, time.time()
        live.callbacks.clear()
        live.has_callbacks = callbacks.some_open(sql)
        for callback in callbacks.due(sql, now, TOGETHER + len(self._running)):
            if callback.activation_id not in self._running and len(self._running) < TOGETHER:
                self._start(callback)
        next_at = callbacks.next_at(sql, now)
        seconds = LOOK_SECONDS if next_at is None else min(LOOK_SECONDS, next_at - now)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await live.callbacks.wait()

    def _start(self, callback: Callback) -> None:
        task = asyncio.create_task(self._deliver(callback))
        self._running[callback.activation_id] = task
        task.add_done_callback(lambda done: self._ended(callback, done))

    def _ended(self, callback: Callback, done: asyncio.Task[None]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None:  # not tried again by this process: the same would happen
            log.error("the callback of %s cannot be delivered", callback.activation_id, exc_info=error)
            return
        del self._running[callback.activation_id]
        self._parts.live.callbacks.set()

    async def _deliver(self, callback: Callback) -> None:
        from fabric_jobs.engine.calls.connection import CallFailed  # late: most owners call nobody

        store = self._parts.store
        try:
            await self._post(callback)
        except (FabricJobsError, CallFailed) as error:
            if isinstance(error, PlaceUnavailable):
                raise
            cause = str(error)
            tries = callback.tries + 1
            given_up = tries >= TRIES
            log.warning("callback of %s, try %d of %d: %s", callback.activation_id, tries, TRIES, cause)
            next_at = time.time() + min(LONGEST_PAUSE_SECONDS, 2.0**callback.tries)
            await asyncio.wrap_future(
                store.write(lambda tx: callbacks.failed(tx, callback, cause, next_at, given_up=given_up))
            )
        else:
            await asyncio.wrap_future(store.write(lambda tx: callbacks.delivered(tx, callback)))

    async def _post(self, callback: Callback) -> None:
        from fabric_jobs.engine.callbacks import headers_of, post

        parts = self._parts
        key = await asyncio.wrap_future(parts.store.write(lambda tx: callbacks.key_of(tx, callback.project_id)))
        activation = activations.find(parts.store.read, callback.activation_id)
        assert activation is not None, "an activation stays until its callback is delivered"
        body = dumps(record_of(parts, activation))
        await post(callback.url, body, headers_of(body, key, time.time()), rules(parts))


def rules(parts: Parts) -> tuple[Allowance, ...]:
    """Return which addresses may be called."""
    from fabric_jobs.callback_targets import rules_of  # late: its imports take time, and most owners call nobody

    return rules_of(parts.settings.callbacks)


async def list_callbacks(call: Call) -> Response:
    """List callbacks that were not delivered: of activations that run, of those that are tried again, and those given up."""
    found = callbacks.listed(call.parts.store.read, call.project, call.of(LIMIT))
    return Json({"success": True, "callbacks": [_shown(call.parts, callback) for callback in found]})


async def show_callback_key(call: Call) -> Response:
    """Show the key that [signs](../howto/callbacks.md#check-the-signature) the callbacks of the project."""
    key = await asyncio.wrap_future(call.parts.store.write(lambda tx: callbacks.key_of(tx, call.project)))
    return Json({"success": True, "key": key})


async def retry_callback(call: Call) -> Response:
    """Try a callback again at once, with all tries."""
    parts, activation_id = call.parts, find_activation(call).activation_id
    callback = callbacks.find(parts.store.read, call.project, activation_id)
    if callback is None:
        hint = "List them with `fabric-jobs callbacks list`."
        raise NotFound(f"activation '{activation_id}' has no callback that was not delivered.", hint=hint)
    await asyncio.wrap_future(parts.store.write(lambda tx: callbacks.retry(tx, callback)))
    parts.live.callbacks.set()
    return Json({"success": True, "message": f"the callback of activation {activation_id} is tried again."})


def _shown(parts: Parts, callback: Callback) -> dict[str, Any]:
    url, question, _ = callback.url.partition("?")
    return {
        "activationId": callback.activation_id,
        "url": f"{url}?…" if question else url,  # a query may have a secret
        "state": "given up" if callback.given_up else _state(parts, callback),
        "tries": callback.tries,
        "nextAt": milliseconds(callback.next_at) if callback.tries and not callback.given_up else None,
        "error": callback.error,
    }


def _state(parts: Parts, callback: Callback) -> str:
    activation = activations.find(parts.store.read, callback.activation_id)
    return "waiting" if activation is not None and not activation.ended else "trying"


ALL = P + "/callbacks"
OPERATIONS = (
    Operation("GET", ALL, list_callbacks, parameters=(LIMIT,), answer="Callbacks", role="read"),
    Operation("GET", ALL + "/key", show_callback_key, answer="CallbackKey", role="admin"),
    Operation("POST", ALL + "/{activation}/retry", retry_callback, answer="Done", role="run"),
)
