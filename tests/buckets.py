"""A real server that speaks S3: moto's, in this process, with the buckets in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Buckets:
    """The server, and one bucket of it."""

    def __init__(self, url: str, bucket: str) -> None:
        import boto3  # late: most tests need none

        self.variables = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "NO_PROXY": "127.0.0.1",
        }
        self._bucket = bucket
        self._client: Any = boto3.client(
            "s3", endpoint_url=url, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
        )
        self._client.create_bucket(Bucket=bucket)

    def keys(self) -> list[str]:
        """Return the keys of all objects."""
        found = self._client.list_objects_v2(Bucket=self._bucket).get("Contents", [])
        return sorted(item["Key"] for item in found)

    def put(self, key: str, data: bytes) -> None:
        """Store an object."""
        self._client.put_object(Bucket=self._bucket, Key=key, Body=data)

    def delete(self, key: str) -> None:
        """Delete an object."""
        self._client.delete_object(Bucket=self._bucket, Key=key)

    def clear(self) -> None:
        """Delete all objects."""
        for key in self.keys():
            self.delete(key)


@contextmanager
def bucket_server(bucket: str) -> Iterator[Buckets]:
    """Serve an empty bucket on a free port."""
    from moto.server import ThreadedMotoServer  # late: slow to import

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield Buckets(f"http://{host}:{port}", bucket)
    finally:
        server.stop()
