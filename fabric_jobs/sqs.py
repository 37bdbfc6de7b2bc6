"""Sends messages to queues of Amazon SQS, or of whatever speaks its protocol; the only module that knows botocore."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from fabric_jobs.errors import InvalidInput, PlaceUnavailable
from fabric_jobs.queue_arns import QueueArn

CALL_MESSAGES, CALL_BYTES = 10, 250 << 10  # of one call; a longer message has a call of its own
ATTRIBUTE_CHARACTERS = 1000
CONNECT_SECONDS, ANSWER_SECONDS, TRIES = 5, 20, 2
REFUSALS = {"BatchRequestTooLong", "InvalidParameterValue", "InvalidMessageContents"}  # of a call, for what is in it
UNPRINTABLE = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # no message may have them
HINT = "Install it with `pip install 'fabric-jobs[aws]'`, and start the gateway again."


class QueueMessage(NamedTuple):
    """One message."""

    message_id: str  # a queue with the suffix .fifo drops a second one with the same id
    body: str  # JSON
    attributes: dict[str, str]


def check_installed() -> None:
    """Raise InvalidInput if botocore is not installed."""
    from importlib.util import find_spec

    if find_spec("botocore") is None:
        raise InvalidInput("queues of SQS need the package botocore, which is not installed.", hint=HINT)


def calls_of(messages: Sequence[QueueMessage]) -> Iterator[list[QueueMessage]]:
    """Yield the messages in groups that one call may send."""
    group, size = list[QueueMessage](), 0
    for message in messages:
        length = len(message.body.encode()) + sum(
            len(f"{key}{value}") + 16 for key, value in message.attributes.items()
        )
        if group and (len(group) == CALL_MESSAGES or size + length > CALL_BYTES):
            yield group
            group, size = [], 0
        group.append(message)
        size += length
    if group:
        yield group


class Answer(NamedTuple):
    """What became of messages that are not in the queue: why, by `message_id`."""

    refused: dict[str, str]  # for good
    failed: dict[str, str]  # they may be sent again


class Queues:
    """Clients of SQS, one per region. Endpoint and credentials come from the usual AWS_… variables and files."""

    def __init__(self) -> None:
        self._clients: dict[str, Any] = {}
        self._urls: dict[QueueArn, str] = {}

    def send(self, arn: QueueArn, messages: Sequence[QueueMessage]) -> Answer:
        """Send one group of `calls_of`.

        Raises PlaceUnavailable when it is not known whether any is in the queue, and InvalidInput without botocore.
        """
        entries = [_entry(str(index), arn, message) for index, message in enumerate(messages)]
        with self._translated(arn):
            answer = self._call(arn, entries)
        if isinstance(answer, str) and len(messages) > 1:
            return _joined([self.send(arn, [message]) for message in messages])
        if isinstance(answer, str):
            return Answer({messages[0].message_id: answer}, {})
        refused, failed = dict[str, str](), dict[str, str]()
        for failure in answer:
            kind = refused if failure["SenderFault"] else failed
            kind[messages[int(failure["Id"])].message_id] = _said(failure)
        return Answer(refused, failed)

    def _call(self, arn: QueueArn, entries: list[dict[str, Any]]) -> list[dict[str, Any]] | str:
        """Return what the queue says of the messages that it does not have, or why it takes no such call."""
        from botocore.exceptions import ClientError

        client = self._client(arn.region)
        url = self._urls.get(arn)
        if url is None:
            found = client.get_queue_url(QueueName=arn.name, QueueOwnerAWSAccountId=arn.account)
            url = self._urls[arn] = found["QueueUrl"]
        try:
            failures: list[dict[str, Any]] = client.send_message_batch(QueueUrl=url, Entries=entries).get("Failed", [])
        except ClientError as error:
            said = error.response["Error"]
            if said["Code"].rpartition(".")[2] in REFUSALS:
                return _said(said)
            raise
        return failures

    def _client(self, region: str) -> Any:
        client = self._clients.get(region)
        if client is None:
            check_installed()
            from botocore.config import Config
            from botocore.session import get_session

            config = Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=ANSWER_SECONDS,
                retries={"mode": "standard", "total_max_attempts": TRIES},
            )
            client = self._clients[region] = get_session().create_client("sqs", region_name=region, config=config)
        return client

    @contextmanager
    def _translated(self, arn: QueueArn) -> Iterator[None]:
        """Turn the errors of botocore into PlaceUnavailable."""
        check_installed()
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            self._urls.pop(arn, None)
            raise PlaceUnavailable(f"{arn.name}: {' '.join(str(error).split())[:300]}") from error


def _entry(number: str, arn: QueueArn, message: QueueMessage) -> dict[str, Any]:
    attributes = {
        key: {"DataType": "String", "StringValue": UNPRINTABLE.sub("\ufffd", value)[:ATTRIBUTE_CHARACTERS]}
        for key, value in message.attributes.items()
        if value
    }
    body = UNPRINTABLE.sub(_escaped, message.body)
    entry: dict[str, Any] = {"Id": number, "MessageBody": body, "MessageAttributes": attributes}
    if arn.is_fifo:
        entry |= {"MessageGroupId": message.message_id, "MessageDeduplicationId": message.message_id}
    return entry


def _joined(answers: list[Answer]) -> Answer:
    refused, failed = dict[str, str](), dict[str, str]()
    for answer in answers:
        refused |= answer.refused
        failed |= answer.failed
    return Answer(refused, failed)


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"  # JSON has such characters in strings only


def _said(failure: dict[str, Any]) -> str:
    return f"{failure.get('Code', '')}: {failure.get('Message', '')}"[:300].strip(": ")
