"""Ends attempts: sends the image's stop signal, and KILL after the grace period. One thread serves all attempts of an executor."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from fabric_jobs.docker.engine import DockerEngine
from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.docker.life import AGAIN_SECONDS, Life
from fabric_jobs.executors.docker.making import stop_signal

ASK_SECONDS = 1.0  # a silent engine has passed the signal on by then, or will
FORCE_SECONDS = 0.05  # an engine answers a KILL only when the container has ended: other stops do not wait for that
PAUSE_SECONDS = 0.02  # between signals to a program that does not run yet; doubled each time, up to AGAIN_SECONDS
KILL_SECONDS = 30.0  # a killed container is gone by then


@dataclass
class _Stop:
    life: Life
    grace: float
    next_at: float  # the next step, by time.monotonic()
    pause: float = PAUSE_SECONDS
    asked_at: float = 0.0  # 0: its program has not been asked yet
    forced_at: float = 0.0

    def shorten(self, grace: float, now: float) -> None:
        """Keep the earlier end: the one set before, or `grace` seconds from `now`."""
        since = now - self.asked_at if self.asked_at else 0.0
        self.grace = min(self.grace, since + grace)
        self.next_at = now

    def press(self, engine: DockerEngine) -> None:
        """Send the signal that is due. Raises ExecutorUnavailable."""
        if self.grace <= 0 or (self.asked_at and time.monotonic() >= self.asked_at + self.grace):
            self._force(engine)
        elif not self.asked_at:
            self._ask(engine)

    def after(self, now: float) -> float:
        """Return the time of the next step after `press`."""
        if self.forced_at:
            return now + AGAIN_SECONDS
        if self.asked_at:
            return self.asked_at + self.grace
        self.pause = min(2 * self.pause, AGAIN_SECONDS)
        return now + self.pause

    def _ask(self, engine: DockerEngine) -> None:
        signal = stop_signal(self.life.directory, engine)
        if self.life.is_settled and engine.kill(self.life.container, signal, ASK_SECONDS):
            self.asked_at = time.monotonic()
            self.life.trouble = None

    def _force(self, engine: DockerEngine) -> None:
        self.forced_at = self.forced_at or time.monotonic()
        engine.kill(self.life.container, "SIGKILL", FORCE_SECONDS)
        if time.monotonic() > self.forced_at + KILL_SECONDS:
            raise ExecutorUnavailable(f"the container {self.life.container} does not end.")


class Stops:
    """The attempts that have been asked to end."""

    def __init__(self, engine: DockerEngine) -> None:
        self._engine = engine
        self._stops: dict[Life, _Stop] = {}
        self._is_closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="docker-stops", daemon=True)

    def start(self) -> None:
        """Start the thread. Raise RuntimeError if there are too many."""
        self._thread.start()

    def ask(self, life: Life, grace: float) -> None:
        """End an attempt, by force after `grace` seconds. Of two calls the shorter grace period counts."""
        now = time.monotonic()
        with self._changed:
            found = self._stops.setdefault(life, _Stop(life, grace, now))
            found.shorten(grace, now)
            self._changed.notify()

    def close(self) -> None:
        """Stop the thread; unfinished attempts keep running."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()

    def _run(self) -> None:
        while due := self._due():
            for stop in due:
                stop.life.takes(lambda stop=stop: stop.press(self._engine))  # type: ignore[misc]
                with self._changed:  # another thread may shorten the grace period
                    stop.next_at = stop.after(time.monotonic())

    def _due(self) -> list[_Stop]:
        """Wait for stops that are due, and return them; an empty list after `close`."""
        with self._changed:
            while not self._is_closing:
                self._stops = {life: stop for life, stop in self._stops.items() if not life.over.is_set()}
                now = time.monotonic()
                due = [stop for stop in self._stops.values() if stop.next_at <= now]
                if due:
                    return due
                first = min((stop.next_at for stop in self._stops.values()), default=None)
                self._changed.wait(None if first is None else first - now)
        return []
