"""The worker of an API whose code is a class: `Task` is called once, `Handler` for one batch after the other."""

from __future__ import annotations

import copy
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from . import surroundings, user_class
from .exchange import Batch, Exchange, Pace
from .time_limit import TimeIsUp, at_most
from .user_class import Unusable

if TYPE_CHECKING:
    from ..fabric_skill.failure import words
    from ..fabric_skill.records import encode
else:
    from fabric_skill.failure import words
    from fabric_skill.records import encode

FAILED = 1  # exit code
RECORD_BYTES, RESULT_BYTES = 16 << 20, 32 << 20  # of one result, and of all results of a batch


def run(wanted: dict[str, Any]) -> int:
    """Run the worker; return its exit code."""
    is_batch = wanted["kind"] == "BatchAPI"
    try:
        surroundings.prepare(wanted)
        made = _made(wanted, "Handler" if is_batch else "Task")
    except Unusable as error:
        return _give_up(str(error))
    except Exception as error:  # code of the user
        return _fail("the class cannot be loaded", error)
    return _Batches(made, wanted).work() if is_batch else _call(made, wanted)


def _made(wanted: dict[str, Any], name: str) -> Any:
    """Return an instance of the API's class. Raises Unusable, or whatever its code raises."""
    found = user_class.load(wanted["code"]["path"], name)
    offered = {"config": wanted["config"], "job_spec": copy.deepcopy(wanted["job"])}
    if "metrics_client" in user_class.parameters(found, "__init__"):
        from .metrics import MetricsClient  # late: few classes use it

        offered["metrics_client"] = MetricsClient()
    return found(**_arguments(found, "__init__", offered))


def _call(task: Any, wanted: dict[str, Any]) -> int:
    try:
        task(config=wanted["config"])
    except Exception as error:  # code of the user
        return _fail(f"failed to run task {wanted['job']['job_id']}", error)
    return 0


class _Batches:
    """Takes batches, and gives them to the handler, until the job is done."""

    def __init__(self, handler: Any, wanted: dict[str, Any]) -> None:
        self._handler = handler
        self._seconds: float | None = wanted["batch_timeout"]
        self._exchange = Exchange()
        self._pace = Pace()
        self._has_warned = False

    def work(self) -> int:
        """Work until the end; return the exit code."""
        while True:
            answer = self._exchange.take(self._pace.wanted)
            if len(answer.batches) > 1:
                self._exchange.report_late()  # a slow one may follow quick ones
            for batch in answer.batches:
                self._handle(batch)
            if answer.complete is not None:
                self._complete()
            if answer.end:
                return 0

    def _handle(self, batch: Batch) -> None:
        offered = {"payload": json.loads(batch.body), "batch_id": batch.batch_id}
        arguments = _arguments(type(self._handler), "handle_batch", offered)
        begun = time.monotonic()
        try:
            with at_most(self._seconds):
                result = self._handler.handle_batch(**arguments)
        except (Exception, TimeIsUp) as error:  # code of the user
            seconds = time.monotonic() - begun
            _log(f"failed to handle batch {batch.batch_id}", error)
            self._exchange.failed(batch, str(error) if isinstance(error, TimeIsUp) else words(error), seconds)
        else:
            seconds = time.monotonic() - begun
            self._exchange.succeeded(batch, seconds, self._records(result))
        self._pace.note(seconds)

    def _records(self, result: Any) -> tuple[str, ...]:
        """Return what the handler returned as records; nothing if it is not JSON, since Cortex Labs ignored it."""
        if result is None:
            return ()
        try:
            records = tuple(encode(each) for each in (result if isinstance(result, (list, tuple)) else (result,)))
        except (TypeError, ValueError) as error:
            return self._dropped(str(error))
        if any(len(record) >= RECORD_BYTES for record in records) or sum(map(len, records)) > RESULT_BYTES:
            return self._dropped(f"they are larger than {RECORD_BYTES >> 20} MiB, or {RESULT_BYTES >> 20} MiB together")
        return records

    def _dropped(self, why: str) -> tuple[str, ...]:
        if not self._has_warned:
            self._has_warned = True
            _logger().warning(f"the results that handle_batch returns are dropped: {why}")
        return ()

    def _complete(self) -> None:
        if not user_class.has(type(self._handler), "on_job_complete"):
            return self._exchange.completed(200)
        try:
            self._handler.on_job_complete()
        except Exception as error:  # code of the user
            _log("failed to run on_job_complete", error)
            return self._exchange.completed(500, words(error))
        return self._exchange.completed(200)


def _arguments(found: type[Any], method: str, offered: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that a method declares."""
    return {name: offered[name] for name in user_class.parameters(found, method)}


def _fail(what: str, error: BaseException) -> int:
    _log(what, error)
    return _give_up(f"{what}: {words(error)}")


def _give_up(why: str) -> int:
    print(f"cortex_worker: {why}", file=sys.stderr, flush=True)
    return FAILED


def _log(what: str, error: BaseException) -> None:
    """Log an exception of the class, without the lines of this module."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    _logger().error(what, exc_info=(type(error), error, trace))


def _logger() -> Any:
    if TYPE_CHECKING:
        from ..cortex_internal.lib.log import logger
    else:
        from cortex_internal.lib.log import logger  # late: few workers log
    return logger
