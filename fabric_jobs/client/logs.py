"""Reads logs page by page, of one task or of all tasks of an activation."""

from __future__ import annotations

import heapq
import json
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fabric_jobs.client.gateway import Gateway, segment
from fabric_jobs.states import FINAL_TASK_STATES

WAIT_SECONDS = 20.0  # how long one call of a follower waits
PAUSE_SECONDS = 0.2  # between two calls that do not wait


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which part of a log to read, and how."""

    stream: str | None = None  # None: both
    attempt: int | None = None  # None: the last one and any later ones
    since: float | None = None  # seconds since 1970
    whole: bool = False  # whole lines only, as long as there may be more


@dataclass(frozen=True, slots=True)
class Part:
    """Output of an attempt of a task, seen at one time."""

    skill: str
    task: str
    attempt: int
    stream: str
    at: float | None  # seconds since 1970; None if unknown
    bytes: bytes


class TaskLog:
    """The log of a task: each call of `parts` continues where the last one ended."""

    def __init__(
        self, gateway: Gateway, name: str, wanted: Selection, *, first: int | None = None, started_at: float = 0.0
    ) -> None:
        """Begin with attempt `first`, by default the last one."""
        self.name = name
        self.started_at = started_at
        self.ended = False  # nothing more will come
        self._gateway = gateway
        self._wanted = wanted
        self._attempt = wanted.attempt or first
        self._cursor = ""
        self._is_between = False  # the task waits for its next attempt

    def parts(self, *, wait: float = 0.0) -> Iterator[Part]:
        """Yield what is there now or, if nothing is, what comes within `wait` seconds."""
        while True:
            head, parts = self._ask(wait)
            yield from parts
            self._cursor = head["cursor"]
            if head["more"]:
                continue
            if self._wanted.attempt is not None:
                self.ended = head["ended"]
            elif head["attempt"] < head["attempts"]:
                self._attempt, self._cursor = head["attempt"] + 1, ""
                continue
            else:
                self.ended = head["state"] in FINAL_TASK_STATES
            self._is_between = head["ended"] and not self.ended
            return

    def follow(self) -> Iterator[Part | None]:
        """Yield what is there, then what comes until the task has ended; None before each pause.

        The gateway may restart meanwhile.
        """
        while not self.ended:
            yield from self.parts(wait=WAIT_SECONDS)
            yield None
            if self._is_between:
                time.sleep(PAUSE_SECONDS)

    def _ask(self, wait: float) -> tuple[dict[str, Any], list[Part]]:
        body = self._gateway.raw(
            "GET",
            f"/tasks/{segment(self.name)}/logs/page",
            cursor=self._cursor or None,
            stream=self._wanted.stream,
            attempt=self._attempt,
            since=None if self._wanted.since is None else round(self._wanted.since * 1000),
            whole="true" if self._wanted.whole else None,
            wait=wait or None,
        ).body
        line, _, text = body.partition(b"\n")
        head = json.loads(line)
        self._attempt = head["attempt"] or None
        parts, begin = [], 0
        for stream, at, size in head["parts"]:
            seconds = None if at is None else at / 1000
            parts.append(Part(head["skill"], self.name, head["attempt"], stream, seconds, text[begin : begin + size]))
            begin += size
        return head, parts


def in_order(logs: Iterable[TaskLog]) -> Iterator[Part]:
    """Yield what several logs have now, by time. A log is opened only once its task has started."""
    waiting = deque(sorted(logs, key=lambda log: log.started_at))
    heap: list[tuple[float, int, Part, Iterator[Part]]] = []
    opened = 0
    while waiting or heap:
        while waiting and (not heap or waiting[0].started_at <= heap[0][0]):
            opened += 1
            _push(heap, opened, waiting.popleft().parts())
        if heap:
            _, number, part, rest = heapq.heappop(heap)
            yield part
            _push(heap, number, rest)


def _push(heap: list[tuple[float, int, Part, Iterator[Part]]], number: int, rest: Iterator[Part]) -> None:
    part = next(rest, None)
    if part is not None:
        heapq.heappush(heap, (part.at or 0.0, number, part, rest))


def of_activation(gateway: Gateway, activation_id: str, wanted: Selection, *, follow: bool) -> Iterator[Part | None]:
    """Yield the logs of all tasks of an activation with all their attempts, by time; None before each pause.

    With `follow` it goes on until the activation has ended.
    """
    logs: dict[str, TaskLog] = {}
    known: set[str] = set()
    after = 0
    path = f"/activations/{segment(activation_id)}/follow"
    while True:
        news = gateway.get(path, after=after)
        for event in news["events"]:
            after = event["number"]
            if event["kind"] == "task.STARTING" and event["name"] not in known:
                known.add(event["name"])
                at = event["at"] / 1000
                logs[event["name"]] = TaskLog(gateway, event["name"], wanted, first=1, started_at=at)
        if news["events"]:
            continue  # there may be more now
        yield from in_order(logs.values())
        logs = {name: log for name, log in logs.items() if not log.ended}
        if not follow or ("activation" in news and not logs):
            return
        yield None
        time.sleep(PAUSE_SECONDS)
