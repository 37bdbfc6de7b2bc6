"""Keys of whatever gets records: how often it is tried, what a failure does, and how records are put together."""

from __future__ import annotations

from fabric_jobs.definitions import Action, Batch, Retries
from fabric_jobs.documents.fields import FLAG, Field, Shape, choice, one, seconds, whole
from fabric_jobs.documents.reader import Reader

PAUSE = (0, 86_400)


def _longest_pause(reader: Reader, field: Field) -> float:
    low, high = PAUSE
    first = reader.number("backoff_seconds", Retries.backoff_seconds, low=low, high=high)
    return reader.number(field.key, max(Retries.max_backoff_seconds, first), low=first, high=high)


RETRIES = Shape(
    "",
    "How often a failed attempt is tried again.",
    Field("limit", whole(0, 1000), "How many attempts follow the first.", default=Retries.limit),
    Field(
        "backoff_seconds",
        seconds(*PAUSE),
        "The pause before the second attempt; it doubles each time.",
        default=Retries.backoff_seconds,
    ),
    Field(
        "max_backoff_seconds",
        seconds(*PAUSE)._replace(read=_longest_pause),
        "The longest pause.",
        default=Retries.max_backoff_seconds,
    ),
    make=Retries,
)
BATCH = Shape(
    "",
    "How records are put together.",
    Field("size", whole(1, 100_000), "The most records of one batch.", default=Batch().size),
    Field("seconds", seconds(*PAUSE), "How long an incomplete batch waits for more.", default=Batch().seconds),
    Field(
        "split",
        FLAG,
        "Whether a batch that fails for good is halved until the record at fault is alone.",
        default=Batch().split,
    ),
    make=Batch,
)
RETRIES_FIELD = Field("retries", one(RETRIES, Retries()), RETRIES.sentence, since="0.1.0")
ON_ERROR = Field(
    "onError",
    choice("fail", "continue", "complete"),
    "What a failure does: end the activation, keep the record as a dead letter, or count as done.",
    default=Action.on_error,
    since="0.1.0",
)
BATCH_FIELD = Field(
    "batch",
    one(BATCH, None),
    "How many messages a task of `receives: batch` gets, or a call: then as a JSON array.",
    since="0.5.0",
)
CONCURRENCY = whole(1, 10_000)
