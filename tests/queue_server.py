"""A real server that speaks SQS: moto's, in this process, with the queues in memory."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ACCOUNT, REGION = "123456789012", "us-east-1"


class QueueServer:
    """The server, and its queues."""

    def __init__(self, url: str) -> None:
        import boto3  # late: most tests need none

        self.variables = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}
        self._client: Any = boto3.client("sqs", endpoint_url=url, **keys)

    def name(self, suffix: str = "") -> str:
        """Return the ARN of a queue that is not there yet."""
        return f"arn:aws:sqs:{REGION}:{ACCOUNT}:q{uuid.uuid4().hex}{suffix}"

    def make(self, arn: str = "", **attributes: str) -> str:
        """Make a queue; return its ARN."""
        arn = arn or self.name()
        more = {"FifoQueue": "true"} if arn.endswith(".fifo") else {}
        self._client.create_queue(QueueName=_name(arn), Attributes={**more, **attributes})
        return arn

    def count(self, arn: str) -> int:
        """Return how many messages are in a queue."""
        url = self._client.get_queue_url(QueueName=_name(arn))["QueueUrl"]
        wanted = "ApproximateNumberOfMessages"
        return int(self._client.get_queue_attributes(QueueUrl=url, AttributeNames=[wanted])["Attributes"][wanted])

    def messages(self, arn: str) -> list[dict[str, Any]]:
        """Take all messages out of a queue: body, attributes and group."""
        url = self._client.get_queue_url(QueueName=_name(arn))["QueueUrl"]
        found: list[dict[str, Any]] = []
        asked = {"MaxNumberOfMessages": 10, "AttributeNames": ["All"], "MessageAttributeNames": ["All"]}
        while taken := self._client.receive_message(QueueUrl=url, **asked).get("Messages"):
            for message in taken:
                self._client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                told = {key: value["StringValue"] for key, value in message["MessageAttributes"].items()}
                group = message["Attributes"].get("MessageGroupId")
                found.append({"text": message["Body"], "items": json.loads(message["Body"]), "group": group, **told})
        return found


def _name(arn: str) -> str:
    return arn.rpartition(":")[2]


@contextmanager
def queue_server(port: int = 0) -> Iterator[QueueServer]:
    """Serve queues on a port, by default a free one."""
    from moto.server import ThreadedMotoServer  # late: slow to import

    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    try:
        host, bound = server.get_host_and_port()
        yield QueueServer(f"http://{host}:{bound}")
    finally:
        server.stop()
