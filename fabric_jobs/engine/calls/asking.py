"""Calls a daemon or a server for one record and reads the answer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Any

from fabric_jobs.engine.calls.caller import Call, CallWork
from fabric_jobs.engine.calls.connection import CallFailed, Pool, Reply
from fabric_jobs.engine.calls.daemons import LOCAL, Daemon, DaemonFailed, fingerprint
from fabric_jobs.engine.calls.registry import Daemons, Means
from fabric_jobs.engine.calls.target import DaemonTarget, ExternalTarget, Unusable
from fabric_jobs.engine.launch import Issuing, message, process_of, scheduled_at
from fabric_jobs.engine.printed import NOTHING_PRINTED, Printed, last_printed
from fabric_jobs.engine.wants import DaemonKey
from fabric_jobs.errors import ExecutorUnavailable, FabricJobsError, InvalidInput
from fabric_jobs.executors.base import ProcessSpec


class Asking:
    """Makes the calls of records. All of it runs in the loop of the calls."""

    def __init__(self, means: Means, issuing: Issuing, daemons: Daemons) -> None:
        self._means = means
        self._issuing = issuing
        self._daemons = daemons
        self._pools: dict[Any, Pool] = {}  # external servers

    def close(self) -> None:
        """Close the connections."""
        for pool in self._pools.values():
            pool.close()

    def call_of(self, work: CallWork) -> Call:
        """Return the function that makes the call for a record of a node."""
        plain = self._call_daemon(work) if work.node.action.type == "daemon" else self._call_external(work)

        async def call(record: bytes) -> tuple[str, bytes]:
            try:
                return await plain(record)
            except Unusable as error:
                masks = await asyncio.to_thread(self._issuing.secrets.masks, work.activation.project_id)
                said = replace(error.printed, lines=masks.lines(error.printed.lines))
                raise Unusable(masks.text(error.cause), said, again=error.again) from error

        return call

    def _call_daemon(self, work: CallWork) -> Call:
        node = work.node
        target_ = cache(lambda: self._target_of(work))  # made once, when first needed
        request_to = cache(lambda host: target_().request(host))
        program = cache(lambda: self._program_of(work))  # read once, and again when its daemon is gone

        async def call(record: bytes) -> tuple[str, bytes]:
            try:
                target = target_()
            except InvalidInput as error:
                raise Unusable(str(error), again=False) from error
            daemon, body = self._daemons.find(program()[0]), target.body(record)
            if daemon is None:
                # An older activation uses a newer one's daemon. Otherwise each would restart its own version in turn.
                program.cache_clear()
                key, process = program()
                daemon = self._daemons.find(key) or self._daemons.make(key, node.action, process)
            daemon.begin_call()
            try:
                async with daemon.slots:
                    answer = await self._ask(daemon, target.port, lambda host: request_to(host).encode(body))
                try:
                    return target.response(answer, self._means.settings.record_bytes)
                except Unusable as error:
                    if not error.again:
                        raise  # it refused the record; its output may be about others
                    printed = await _printed(daemon)
                    said = replace(printed, lines=(*error.printed.lines, *printed.lines))
                    raise Unusable(error.cause, said) from error
            finally:
                daemon.end_call()

        return call

    async def _ask(self, daemon: Daemon, port: int, encoded: Callable[[str], bytes]) -> Reply:
        """Return a daemon's answer to the request `encoded` for its host; restart a daemon that dies, a few times."""
        seconds = self._means.settings.call_seconds
        for _ in range(1 + self._means.settings.lost_limit):
            try:
                pool = await daemon.pool(port)
                try:
                    return await pool.ask(encoded(f"{pool.server.host}:{pool.server.port}"), seconds)
                except CallFailed as error:
                    failure = error
                    await daemon.lost(pool)
            except DaemonFailed as error:
                raise Unusable(error.cause, error.printed) from error
        times = 1 + self._means.settings.lost_limit
        raise Unusable(f"the daemon gave no answer {times} times: {failure}", await _printed(daemon)) from failure

    def _target_of(self, work: CallWork) -> DaemonTarget:
        activation, node = work.activation, work.node
        inside = self._means.executors[activation.executor].inside(work.task.attempt_name)
        due = scheduled_at(self._means.store.read, activation)
        issued = self._issuing.to(activation, work.task, inside, scheduled_at=due)
        node = self._issuing.opened(node, activation.project_id)
        envelope = message(activation, work.task, node, issued)
        target = DaemonTarget(node=node, envelope=envelope, headers=activation.headers)
        target.check()
        return target

    def _program_of(self, work: CallWork) -> tuple[DaemonKey, ProcessSpec]:
        """Return the key of a node's daemon, and its program, from the files as they are now."""
        activation, node = work.activation, work.node
        process = process_of(self._means.store.read, activation, node.skill_name, node.action)
        process = replace(process, shell=self._issuing.shells.of(activation.activation_id))
        key = DaemonKey(
            executor=activation.executor,
            project_id=activation.project_id,
            skill_name=node.skill_name,
            version=activation.pins["skills"][node.skill_name],
            action=node.action.name,
            files=fingerprint(process, activation.executor),
        )
        return key, process

    def _call_external(self, work: CallWork) -> Call:
        seconds = self._means.settings.call_seconds
        slots = asyncio.Semaphore(work.node.action.concurrency)

        @cache
        def target_() -> ExternalTarget:
            shell = self._issuing.shells.of(work.activation.activation_id)
            environment = os.environ if shell is None else shell.environment
            node = self._issuing.opened(work.node, work.activation.project_id)
            target = ExternalTarget.of(node, work.activation.headers).through_proxy(environment)
            assert target.request.method  # this reports invalid properties
            return target

        async def call(record: bytes) -> tuple[str, bytes]:
            try:
                target = target_()
            except FabricJobsError as error:
                raise Unusable(str(error), again=False) from error
            pool = self._pools.setdefault(target.server, Pool(target.server))
            try:
                async with slots:
                    answer = await pool.ask(target.request.encode(target.body(record)), seconds)
            except CallFailed as error:
                raise Unusable(str(error)) from error
            return target.response(answer, self._means.settings.record_bytes)

        return call


LOOKS, LOOK_SECONDS = 10, 0.1  # checks for more output of a container


async def _printed(daemon: Daemon) -> Printed:
    """Return the end of what a daemon printed; none when its place does not answer.

    The output of a container may arrive later than its answer: wait until no more comes.
    """
    found = NOTHING_PRINTED
    with suppress(ExecutorUnavailable):
        found = await asyncio.to_thread(last_printed, daemon.executor, daemon.handle)
        for _ in range(0 if daemon.want.key.executor == LOCAL else LOOKS):
            await asyncio.sleep(LOOK_SECONDS)
            before, found = found, await asyncio.to_thread(last_printed, daemon.executor, daemon.handle)
            if found == before:
                break
    return found
