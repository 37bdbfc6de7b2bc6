"""Blobs as objects of an S3-compatible store; the only module that knows obstore."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fabric_jobs.blobs.directory import NAME
from fabric_jobs.errors import InvalidInput, PlaceUnavailable, RecordsDamaged

SCHEME = "s3://"
CHUNK_BYTES = 8 << 20  # of an upload in parts
CHUNKS = 4  # sent at a time
OWNER = "fabric-jobs-owner"  # the object that says which gateway may remove others
SECONDS = "30s"  # for the answer to one request


class Bucket:
    """A `Shelf` in a bucket: PREFIX/ab/ab12…"""

    is_local = False

    def __init__(self, url: str, owner: str) -> None:
        """`url` is s3://BUCKET/PREFIX; endpoint and credentials come from the usual AWS_… variables. Raises InvalidInput."""
        if not url.startswith(SCHEME) or not url.removeprefix(SCHEME).strip("/"):
            raise InvalidInput(
                f"'{url}' is not the URL of a store for content.",
                hint="Write FABRIC_JOBS_CONTENT_URL=s3://BUCKET/PREFIX.",
            )
        try:
            import obstore
            from obstore.exceptions import BaseError, NotFoundError
            from obstore.store import S3Store
        except ImportError as error:
            raise InvalidInput(
                "FABRIC_JOBS_CONTENT_URL needs the package obstore, which is not installed.",
                hint="Install it with `pip install 'fabric-jobs[s3]'`.",
            ) from error
        self._api: Any = obstore
        self._missing, self._error = NotFoundError, BaseError
        self._url = url
        self._owner = owner.encode()
        retrying: Any = {"max_retries": 3}
        options: Any = {"timeout": SECONDS, "connect_timeout": "5s", "allow_http": True}
        with self._translated():
            self._store = S3Store.from_url(url, client_options=options, retry_config=retrying)

    def keep(self, path: Path, sha256: str) -> None:
        """Upload a file; the object appears when all of it has arrived."""
        with self._translated(), open(path, "rb") as file:
            self._api.put(self._store, _name(sha256), file, chunk_size=CHUNK_BYTES, max_concurrency=CHUNKS)

    def read(self, sha256: str, at: int, size: int) -> bytes:
        """Return bytes from `at` on, fewer if the object ends before."""
        try:
            with self._translated():
                return bytes(self._api.get_range(self._store, _name(sha256), start=at, length=size)) if size else b""
        except FileNotFoundError as error:
            raise RecordsDamaged(
                f"content is missing: there is no object {_name(sha256)} in {self._url}.",
                hint="Restore the object, or upload the content again.",
            ) from error

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Yield the name and the size of each blob."""
        with self._translated():
            for page in self._api.list(self._store):
                for found in page:
                    name = found["path"].rpartition("/")[2]
                    if NAME.fullmatch(name):
                        yield name, found["size"]

    def remove(self, sha256: str) -> None:
        """Remove an object, if it is there."""
        with suppress(FileNotFoundError), self._translated():
            self._api.delete(self._store, _name(sha256))

    def path_of(self, sha256: str) -> Path:
        """Return the path of an object below the prefix."""
        return Path(_name(sha256))

    def claim(self) -> None:
        """Raise PlaceUnavailable if another gateway has claimed the prefix; claim it if none has."""
        with self._translated():
            try:
                found = bytes(self._api.get(self._store, OWNER).bytes())
            except (self._missing, FileNotFoundError):
                self._api.put(self._store, OWNER, self._owner)
                return
        if found != self._owner:
            raise PlaceUnavailable(
                f"another gateway stores content in {self._url}, so nothing is removed there.",
                hint=f"Give each gateway a prefix of its own. If the other one is gone for good, delete the object {OWNER}.",
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the errors of obstore into PlaceUnavailable, or FileNotFoundError."""
        try:
            yield
        except (self._missing, FileNotFoundError):
            raise FileNotFoundError from None
        except (self._error, OSError) as error:
            raise PlaceUnavailable(
                f"the store {self._url} cannot be used: {' '.join(str(error).split())[:300]}.",
                hint="Check FABRIC_JOBS_CONTENT_URL, the AWS_… variables and the network.",
            ) from error


def _name(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}"
