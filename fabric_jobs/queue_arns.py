"""The names of queues in Amazon SQS (docs/howto/dead-batches.md)."""

from __future__ import annotations

import re
from typing import NamedTuple

from fabric_jobs.errors import InvalidInput

ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):sqs:(?P<region>[a-z0-9-]{1,40}):(?P<account>[0-9]{1,20}):(?P<name>[A-Za-z0-9_-]{1,80}(?:\.fifo)?)"
)
NAME_LIMIT = 80  # characters of a name, with its suffix
FIFO = ".fifo"


class QueueArn(NamedTuple):
    """A queue, in parts."""

    region: str
    account: str
    name: str

    @property
    def is_fifo(self) -> bool:
        """Whether it keeps messages in order and drops repeated ones."""
        return self.name.endswith(FIFO)


def parsed(text: str) -> QueueArn:
    """Return the queue that an ARN names; raise InvalidInput for anything else."""
    found = ARN.fullmatch(text)
    if found is None or len(found["name"]) > NAME_LIMIT:
        raise InvalidInput(
            f"'{text[:200]}' is not the ARN of an SQS queue.",
            hint="Write it like arn:aws:sqs:us-west-2:123456789012:failed.fifo.",
        )
    return QueueArn(found["region"], found["account"], found["name"])
