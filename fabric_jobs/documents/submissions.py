"""Checks submissions to Batch and Task APIs, in Cortex Labs' order and with its words (docs/howto/batch-and-task-apis.md)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fabric_jobs.apis import BATCH
from fabric_jobs.documents.request_text import ITEM_LIST, ITEMS, Posted, read
from fabric_jobs.errors import WrongRequest
from fabric_jobs.submissions import DeadLetterQueue, Submission

LISTER, FILES = "file_path_lister", "delimited_files"
SOURCES = (ITEM_LIST, LISTER, FILES)
QUEUE = "sqs_dead_letter_queue"
MOST = 999_999_999  # of every whole number
JOB_ID = re.compile(r"[0-9a-f]{16}")
SEE = "The fields of a submission are described in docs/howto/batch-and-task-apis.md of fabric-jobs."

# Cortex Labs' words for what is wrong.
TOO_SMALL = "configreader.must_be_greater_than_or_equal_to"
TOO_LARGE = "configreader.must_be_less_than_or_equal_to"
TOO_FEW = "configreader.too_few_elements"
EMPTY = "configreader.cannot_be_empty"
OTHER_VALUE = "configreader.invalid_int"
NO_SOURCE = "job.specify_exactly_one_key"
SEVERAL_SOURCES = "job.conflicting_fields"
ITEM_TOO_LARGE = "batchapi.item_size_exceeds_limit"
BATCH_TOO_LARGE = "batchapi.message_exceeds_max_size"


class Allowed(NamedTuple):
    """What a job may have at most."""

    batch_bytes: int  # of a batch, as JSON
    workers: int


class FieldKind(NamedTuple):
    """A kind of value that a field may have: its words, and whether a value, which is not null, is one."""

    words: str
    holds: Callable[[Any], bool]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MOST


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


WHOLE = FieldKind(f"a whole number of at most {MOST:,}", _is_whole)
NUMBER = FieldKind("a number", _is_number)
TEXT = FieldKind("a text", lambda value: isinstance(value, str))
TEXTS = FieldKind("a list of texts", _is_texts)
OBJECT = FieldKind("an object", lambda value: isinstance(value, dict))
ARRAY = FieldKind("a list", lambda value: isinstance(value, list))
LISTED = {"s3_paths": TEXTS, "includes": TEXTS, "excludes": TEXTS, "batch_size": WHOLE}
OF_ALL = {"workers": WHOLE, "timeout": WHOLE, "config": OBJECT}
OF_BATCH = {
    **OF_ALL,
    QUEUE: OBJECT,
    **dict.fromkeys(SOURCES, OBJECT),
    "batch_timeout": NUMBER,
    "max_receive_count": WHOLE,
}
INSIDE = {
    QUEUE: {"arn": TEXT, "max_receive_count": WHOLE},
    ITEM_LIST: {ITEMS: ARRAY, "batch_size": WHOLE},
    LISTER: LISTED,
    FILES: LISTED,
}


def posted(body: bytes, kind: str) -> Posted:
    """Return the fields of the body of a submission to an API of a kind, without those that are null.

    Raises WrongRequest if it is empty, not a JSON object, or if a value has another type.
    """
    if not body.strip():
        raise WrongRequest("the body is empty, and must be a JSON object.", hint=SEE)
    try:
        given = read(body)
    except ValueError as error:
        raise WrongRequest(f"the body is not the JSON of a submission: {error}.", hint=SEE) from error
    fields = _typed(given.fields, OF_BATCH if kind == BATCH else OF_ALL)
    for name in (QUEUE, *SOURCES) if kind == BATCH else ():
        if name in fields:
            fields[name] = _typed(fields[name], INSIDE[name], f"{name}: ")
    return given._replace(fields=fields)


def job_id(text: str) -> str:
    """Return the id that a caller has chosen for a job; raise WrongRequest for one that no job may have."""
    if not JOB_ID.fullmatch(text):
        raise WrongRequest(f"'{text[:100]}' is not the id of a job.", hint="Choose 16 hexadecimal digits.")
    return text


def batch_submission(given: Posted, base: Submission, allowed: Allowed) -> Submission:
    """Return `base` with what a submission to a Batch API says; raise WrongRequest for the first thing that is wrong.

    What a lister lists is checked by `fabric_jobs.sources`.
    """
    fields = given.fields
    chosen = _chosen(fields)
    block = fields[chosen]
    if chosen == ITEM_LIST:
        _check_items(given.items or (), allowed.batch_bytes)
    size = _at_least_one(block.get("batch_size", 0), f"{chosen}: batch_size")
    workers = _workers(fields.get("workers", 0), allowed.workers)
    timeout = _at_least_one(fields["timeout"], "timeout") if "timeout" in fields else None
    queue = _queue(fields[QUEUE]) if QUEUE in fields else None
    if chosen == ITEM_LIST:
        _check_batches(given.items or (), size, allowed.batch_bytes)
    elif not block.get("s3_paths"):
        raise WrongRequest(f"{chosen}: s3_paths: must contain at least 1 elements.", kind=TOO_FEW, hint=SEE)
    return base._replace(
        workers=workers,
        batch_size=size,
        config=fields.get("config", {}),
        timeout=timeout,
        batch_timeout=_batch_timeout(fields),
        queue=queue,
        max_receive_count=_receive_count(fields, queue),
        source={} if chosen == ITEM_LIST else {chosen: block},
        items="".join(f"{item}\n" for item in given.items or ()).encode() if chosen == ITEM_LIST else b"",
    )


def task_submission(given: Posted, base: Submission) -> Submission:
    """Return `base` with what a submission to a Task API says; raise WrongRequest for the first thing that is wrong."""
    fields = given.fields
    if fields.get("workers", 1) != 1:
        said = f"workers: invalid value (got {fields['workers']}, must be 1): a job of a Task API has one worker."
        raise WrongRequest(said, kind=OTHER_VALUE, hint=SEE)
    return base._replace(workers=1, config=fields.get("config", {}), timeout=fields.get("timeout"))


def _typed(given: Mapping[str, Any], kinds: Mapping[str, FieldKind], path: str = "") -> dict[str, Any]:
    """Return the fields that are not null; raise WrongRequest for a known one of another kind."""
    for name, kind in kinds.items():
        if given.get(name) is not None and not kind.holds(given[name]):
            raise WrongRequest(f"{path}{name}: must be {kind.words}.", hint=SEE)
    return {name: value for name, value in given.items() if value is not None}


def _chosen(fields: Mapping[str, Any]) -> str:
    found = [name for name in SOURCES if name in fields]
    if not found:
        raise WrongRequest(f"specify exactly one of {', '.join(SOURCES)}.", kind=NO_SOURCE, hint=SEE)
    if len(found) > 1:
        said = f"{' and '.join(found)} cannot be specified together: specify exactly one of them."
        raise WrongRequest(said, kind=SEVERAL_SOURCES, hint=SEE)
    return found[0]


def _at_least_one(value: int, path: str) -> int:
    if value < 1:
        raise WrongRequest(f"{path}: {value} must be greater than or equal to 1.", kind=TOO_SMALL, hint=SEE)
    return value


def _workers(value: int, most: int) -> int:
    if _at_least_one(value, "workers") > most:
        said = f"workers: {value} must be less than or equal to {most}."
        raise WrongRequest(said, kind=TOO_LARGE, hint="FABRIC_JOBS_JOB_WORKERS of the gateway raises the limit.")
    return value


def _queue(block: Mapping[str, Any]) -> DeadLetterQueue:
    if not block.get("arn"):
        raise WrongRequest(f"{QUEUE}: arn: cannot be empty.", kind=EMPTY, hint=SEE)
    count = _at_least_one(block.get("max_receive_count", 0), f"{QUEUE}: max_receive_count")
    return DeadLetterQueue(arn=block["arn"], max_receive_count=count)


def _receive_count(fields: Mapping[str, Any], queue: DeadLetterQueue | None) -> int:
    """Return how many attempts of a batch may fail: as the queue says, which need not be there."""
    given: int | None = fields.get("max_receive_count")
    if given is None:
        return 1 if queue is None else queue.max_receive_count
    if queue is not None and queue.max_receive_count != given:
        said = f"max_receive_count: it is {given} here and {queue.max_receive_count} in {QUEUE}."
        raise WrongRequest(said, kind=SEVERAL_SOURCES, hint="Leave one of them out.")
    return _at_least_one(given, "max_receive_count")


def _batch_timeout(fields: Mapping[str, Any]) -> float | None:
    given: float | None = fields.get("batch_timeout")
    if given is not None and not 0 < given <= MOST:
        raise WrongRequest(f"batch_timeout: {given} must be greater than 0 seconds.", kind=TOO_SMALL, hint=SEE)
    return given


def _check_items(items: tuple[str, ...], limit: int) -> None:
    if not items:
        raise WrongRequest("items: must contain at least 1 elements.", kind=TOO_FEW, hint=SEE)
    for index, item in enumerate(items):
        size = _size(item)
        if size > limit:
            said = f"item_list: item {index} has {size:,} bytes, more than the {limit:,} that a batch may have."
            raise WrongRequest(said, kind=ITEM_TOO_LARGE, hint=RAISE)


def _check_batches(items: tuple[str, ...], count: int, limit: int) -> None:
    for first in range(0, len(items), count):
        batch = items[first : first + count]
        size = sum(map(_size, batch)) + len(batch) + 1  # brackets and commas
        if size > limit:
            last = first + len(batch) - 1
            said = f"item_list: the batch of the items {first} to {last} has {size:,} bytes, more than {limit:,}."
            raise WrongRequest(said, kind=BATCH_TOO_LARGE, hint=f"Choose a smaller batch_size. {RAISE}")


RAISE = "FABRIC_JOBS_BATCH_BYTES of the gateway raises the limit."


def _size(item: str) -> int:
    return len(item) if item.isascii() else len(item.encode())
