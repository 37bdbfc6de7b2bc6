"""Carries an attempt in a cluster on to its end, step by step. Every step looks at what is there; see `state` for the files."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.executors.attempt_files.specs import Forgotten, Unreadable
from fabric_jobs.executors.base import LOST, REFUSED, AttemptExit
from fabric_jobs.executors.kubernetes.proof import LIFE_SECONDS
from fabric_jobs.executors.kubernetes.site import Site
from fabric_jobs.executors.kubernetes.state import AttemptState
from fabric_jobs.kubernetes.cluster import Object
from fabric_jobs.kubernetes.failures import Conflict, Missing, QuotaFull

AGAIN_SECONDS = 1.0  # before the next try, while the cluster does not answer
OTHERS_SECONDS = 0.1  # between two looks at what another process has recorded
FULL_SECONDS = 3.0  # before the next try, while a quota has no room

log = logging.getLogger(__name__)


class Carried:
    """An attempt, from its acceptance to its end. Everything happens in the loop's thread."""

    def __init__(self, directory: Path, site: Site, on_news: Callable[[], None]) -> None:
        """Call `on_news()` once the end is recorded, and when the state becomes unknown."""
        self.trouble: ExecutorUnavailable | None = None  # set while its state is unknown
        self.changed = asyncio.Event()
        self._directory = directory
        self._site = site
        self._state = AttemptState(directory)
        self._on_news = on_news
        self._sent_before: float = self._state.sent()  # by pods that may have called another gateway
        self._grace = math.inf  # the shortest grace period that it is to be given

    @property
    def name(self) -> str:
        """The name of the attempt."""
        return self._directory.name

    @property
    def address(self) -> tuple[str, int]:
        """Host and port where its program listens, once it runs; no host before. Port 0: the one that it was told."""
        raise NotImplementedError

    @property
    def has_called(self) -> bool:
        """Whether its launcher has sent output to this gateway."""
        return self._state.sent() > self._sent_before

    def take(self, pod: Object, is_there: bool) -> None:
        """Take what the cluster says of one of its pods."""
        raise NotImplementedError

    def stop(self, grace: float) -> None:
        """End it, by force after `grace` seconds. Of two calls the shorter grace period counts."""
        self._grace = min(self._grace, grace)
        self.changed.set()

    async def run(self) -> None:
        """Carry the attempt on to its end."""
        try:
            while not self._state.has_ended:
                self.changed.clear()
                pause = await self._try()
                await asyncio.sleep(0)  # others must run, whatever has changed meanwhile
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), pause)
        finally:
            self._let_go()
        self._on_news()
        await self._clean_up()

    async def _try(self) -> float | None:
        """Take a step, and return after how many seconds to look again; None: when something changes."""
        try:
            pause = await self._advance()
        except (Missing, Conflict):  # somebody else has changed it meanwhile: look again
            return OTHERS_SECONDS
        except QuotaFull as error:
            self._state.say(error.message)
            pause = FULL_SECONDS
        except ExecutorUnavailable as error:
            return self._fail(error)
        except OSError as error:  # such as a full disk
            return self._fail(ExecutorUnavailable(f"{self._directory} cannot be used: {error.strerror}."))
        except Exception as error:  # the attempt must outlive its task; the error is logged
            log.exception("%s is looked at again", self.name)
            return self._fail(ExecutorUnavailable(f"{self.name}: {error}"))
        self.trouble = None
        return pause

    async def _advance(self) -> float | None:
        """Take a step. What can never start, or what nobody knows any more, ends."""
        try:
            self._check_way()
            return await self._step()
        except InvalidInput as error:
            ended = AttemptExit(None, REFUSED, str(error))
        except (Forgotten, Unreadable):
            ended = AttemptExit(None, LOST)
        self._end(ended)
        return 0.0

    def _fail(self, error: ExecutorUnavailable) -> float:
        """Note why its state is unknown; return after how many seconds to look again."""
        is_new = self.trouble is None
        self.trouble = error
        if is_new:
            self._on_news()
        return AGAIN_SECONDS

    def _check_way(self) -> None:
        """Raise InvalidInput if a probe beside this attempt has found that pods do not reach the gateway."""
        if self._site.route.failure is not None and self.has_called:
            self._site.route.note_call()
        failure = self._site.route.failure
        if failure is not None and not self._state.is_stopped and self._state.made_ago() < LIFE_SECONDS:
            raise failure

    async def _step(self) -> float | None:
        raise NotImplementedError

    def _end(self, ended: AttemptExit, ended_at: float = 0.0) -> None:
        raise NotImplementedError

    def _remark(self, words: str) -> None:
        """Remark that output is missing. Raise ExecutorUnavailable while the cluster is not heard, which may still have it."""
        if self._site.pods.trouble is not None:
            raise self._site.pods.trouble
        self._state.remark(words)

    def _let_go(self) -> None:
        """Follow nothing any more, since the end is recorded or this process ends."""

    async def _clean_up(self) -> None:
        """Delete what is left in the cluster."""
