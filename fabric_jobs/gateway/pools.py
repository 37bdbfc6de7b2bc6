"""What the pods of pools call: take an attempt, report its end, refuse (docs/howto/warm-starts.md#in-a-cluster)."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from fabric_jobs.errors import InvalidInput, NotAllowed, NotFound, PlaceUnavailable
from fabric_jobs.gateway.caller import bearer
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.state_dir import attempts_dir

if TYPE_CHECKING:
    from fabric_jobs.executors.kubernetes.pools import Pools

PLACE = "kubernetes"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")  # of an attempt, too, which is a directory's
WAIT_SECONDS = 60.0  # longer than a call may wait
WHY_LENGTH = 1000


async def take_attempt(call: Call) -> Json:
    """Answer with the next attempt for a pod of a pool (`order`), or with one that is to `stop` within `grace` seconds.

    It waits until there is one, and answers with `{}` after a while. An attempt that the caller was given before, but has not got,
    is given again.
    """
    who, pool = _who(call), call.path_params["pool"]
    attempt = "" if call.object.get("attempt") == "" else _name(call, "attempt")
    grace = call.object.get("grace")
    if grace is not None and not _is_number(grace):
        raise InvalidInput("'grace' must be a number of seconds, or null.")
    limit = math.inf if grace is None else float(grace)
    with call.parts.traffic.aside():  # a pod that waits keeps no idle owner from ending
        said = await _answer(call, lambda pools: pools.take(pool, who, attempt, limit))
    return Json(said)


async def end_attempt(call: Call) -> Json:
    """Take the exit code of an attempt; answered once it is recorded. It may be reported again."""
    who, pool = _who(call), call.path_params["pool"]
    attempt, code, oom = _name(call, "attempt"), call.object.get("code"), call.object.get("oom")
    if type(code) is not int or not 0 <= code <= 255:
        raise InvalidInput("'code' must be a whole number from 0 to 255.")
    await _answer(call, lambda pools: pools.ended(pool, who, attempt, code, is_oom=oom is True))
    return Json({})


async def refuse_pool(call: Call) -> Json:
    """Let the attempts of a pool start in pods of their own, since its program cannot be forked."""
    who, pool = _who(call), call.path_params["pool"]
    why = call.object.get("why")
    if not isinstance(why, str):
        raise InvalidInput("'why' must be a text.")
    await _answer(call, lambda pools: pools.refuse(pool, who, " ".join(why.split())[:WHY_LENGTH]))
    return Json({})


def _who(call: Call) -> tuple[str, str]:
    """Return Job and process of the caller; raise NotAllowed unless it shows the token of its pool."""
    from fabric_jobs.executors.kubernetes import pool_tokens  # late: few owners use a cluster

    root = attempts_dir(call.parts.settings.state_dir)
    if not pool_tokens.is_good(root, call.path_params["pool"], bearer(call)):
        raise NotAllowed("the token is not that of the pool.")
    return _name(call, "pod"), _name(call, "instance")


async def _answer(call: Call, question: Callable[[Pools], Coroutine[Any, Any, Any]]) -> Any:
    """Return what the pools answer. Raise PlaceUnavailable if this gateway ends first, or too much time passes."""
    from fabric_jobs.executors.kubernetes import KubernetesExecutor  # late, too

    executor = await asyncio.to_thread(call.parts.executors.__getitem__, PLACE)
    if not isinstance(executor, KubernetesExecutor):
        raise NotFound("this gateway has no pools.")
    answer = asyncio.wrap_future(executor.ask_pools(question))
    closing = asyncio.ensure_future(call.parts.live.wait([("pools", "")], WAIT_SECONDS))
    try:
        await asyncio.wait({answer, closing}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return await answer
        raise PlaceUnavailable("the pools do not answer, or the gateway is ending.", hint="Try again.")
    except OSError as error:
        raise PlaceUnavailable(f"the state of pools cannot be used: {error.strerror}.", hint="Try again.") from error
    finally:
        for each in (answer, closing):
            each.cancel()


def _name(call: Call, key: str) -> str:
    value = call.object.get(key)
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise InvalidInput(f"'{key}' must be a name.")
    return value


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf


OPERATIONS = (
    Operation(
        "POST",
        "/internal/pools/{pool}/take",
        take_attempt,
        body="PoolCall",
        answer="PoolOrder",
        errors=("404", "409"),
        caller="pool",
    ),
    Operation(
        "POST",
        "/internal/pools/{pool}/ended",
        end_attempt,
        body="PoolEnd",
        answer="Empty",
        errors=("404", "409"),
        caller="pool",
    ),
    Operation(
        "POST",
        "/internal/pools/{pool}/cold",
        refuse_pool,
        body="PoolRefusal",
        answer="Empty",
        errors=("404", "409"),
        caller="pool",
    ),
)
