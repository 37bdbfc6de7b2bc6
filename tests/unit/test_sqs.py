"""Queues of SQS: their names, and what one call may send."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.errors import InvalidInput
from fabric_jobs.queue_arns import QueueArn, parsed
from fabric_jobs.sqs import CALL_BYTES, CALL_MESSAGES, QueueMessage, calls_of

GOOD = {
    "arn:aws:sqs:us-west-2:123456789:failed.fifo": QueueArn("us-west-2", "123456789", "failed.fifo"),
    "arn:aws-cn:sqs:cn-north-1:123456789012:a_b-C9": QueueArn("cn-north-1", "123456789012", "a_b-C9"),
}
BAD = (
    "",
    "failed",
    "https://sqs.us-west-2.amazonaws.com/123456789/failed",
    "arn:aws:sns:us-west-2:123456789:failed",
    "arn:aws:sqs:us-west-2:123456789:",
    "arn:aws:sqs:us-west-2:123456789:a.b",
    "arn:aws:sqs:us-west-2:123456789:failed.fifo\n",
    "arn:aws:sqs:us-west-2:12x:failed",
    "arn:aws:sqs:../../:123:failed",
    "arn:aws:sqs:us-west-2:123456789:" + "a" * 76 + ".fifo",
)


@pytest.mark.parametrize("text", GOOD)
def test_an_arn_is_taken_apart(text: str) -> None:
    assert parsed(text) == GOOD[text]
    assert parsed(text).is_fifo == text.endswith(".fifo")


@pytest.mark.parametrize("text", BAD)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not the ARN of an SQS queue"):
        parsed(text)


@given(st.lists(st.integers(0, CALL_BYTES + 1000), max_size=40))
def test_messages_are_sent_in_calls_that_are_not_too_long(lengths: list[int]) -> None:
    messages = [QueueMessage(str(number), "x" * length, {}) for number, length in enumerate(lengths)]
    calls = list(calls_of(messages))
    assert [message for call in calls for message in call] == messages
    for call in calls:
        assert 0 < len(call) <= CALL_MESSAGES
        assert len(call) == 1 or sum(len(message.body) for message in call) <= CALL_BYTES
    for one, other in pairwise(calls):
        assert len(one) == CALL_MESSAGES or sum(len(m.body) for m in (*one, other[0])) > CALL_BYTES, "one call less"
