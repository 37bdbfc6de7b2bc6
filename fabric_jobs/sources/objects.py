"""Lists and reads the objects of stores: S3 and what speaks its language, Google Cloud Storage, Azure; by obstore."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from fabric_jobs.errors import InvalidInput, PlaceUnavailable
from fabric_jobs.sources.paths import SourceFile, SourcePath

PIECE_BYTES = 4 << 20  # asked for at a time
PAGE = 1000  # objects of a listing; what stores answer with
TRIES = 3  # of a request, beside the first one
REQUEST_SECONDS = 30  # for one request, with its answer
ELSEWHERE = "incorrectly configured region"  # in an error of obstore
STATUS = re.compile(r"status code: (\d+)")  # in the error of a listing
VARIABLES = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}  # begin the variables with credentials


class ObjectMissing(InvalidInput):
    """There is no such object, or no such bucket."""


class Objects:
    """The objects whose keys begin with a text, such as s3://bucket/prefix; recursive, as keys have no directories."""

    def __init__(self, path: SourcePath, endpoint: str) -> None:
        """`endpoint` is the URL of the store of s3:// paths; empty: that of the variables AWS_…. Raises InvalidInput."""
        try:
            import obstore
            from obstore import exceptions, store
        except ImportError as error:
            raise InvalidInput(
                f"'{path.text}' needs the package obstore, which is not installed.",
                hint="Install it for the owner with `pip install 'fabric-jobs[s3]'`.",
            ) from error
        self._api: Any = obstore
        self._errors: Any = exceptions
        self._path = path
        made: Any = {"s3": store.S3Store, "gs": store.GCSStore, "az": store.AzureStore}[path.scheme]
        options = {
            "client_options": {
                "timeout": timedelta(seconds=REQUEST_SECONDS),
                "connect_timeout": "5s",
                "allow_http": True,
            },
            "retry_config": {"max_retries": TRIES, "retry_timeout": timedelta(seconds=2 * REQUEST_SECONDS)},
        }
        if endpoint and path.scheme == "s3":
            options["config"] = {"endpoint": endpoint}
        with self._translated(path.text):
            self._store = made(path.bucket, **options)

    def after(self, key: str) -> Iterator[SourceFile]:
        """Yield the objects whose key is above `key`, by key; raise InvalidInput, or PlaceUnavailable."""
        begin, last = self._path.key, key
        directory = begin.rpartition("/")[0]
        for found in self._listed(directory, max(_below(begin), key)):
            name = found["path"]
            if name > last and name.startswith(begin):
                if found["size"] or self._is_there(name):
                    version = found["e_tag"] or str(found["last_modified"])
                    yield SourceFile(self._path.prefix + name, name, found["size"], version)
                last = name
            elif name > begin and not name.startswith(begin):
                return  # keys are listed in their order

    def pieces(self, file: SourceFile, at: int) -> Iterator[bytes]:
        """Yield the bytes of an object from an offset on; raise as `after` does, also when the object has changed."""
        while at < file.size:
            end = min(at + PIECE_BYTES, file.size)
            asked: dict[str, Any] = {"range": (at, end)}
            if file.version.startswith('"'):
                asked["if_match"] = file.version
            with self._translated(file.name):
                piece = bytes(self._api.get(self._store, file.key, options=asked).bytes())
            if len(piece) != end - at:
                raise _changed(file.name)
            yield piece
            at = end

    def _is_there(self, key: str) -> bool:
        """Tell an empty object from a key that ends in a slash, which obstore shows without it."""
        try:
            with self._translated(self._path.prefix + key):
                self._api.head(self._store, key)
        except ObjectMissing:
            return False
        return True

    def _listed(self, directory: str, offset: str) -> Iterator[Any]:
        with self._translated(self._path.text):
            pages = iter(self._api.list(self._store, directory or None, offset=offset or None, chunk_size=PAGE))
        while True:
            with self._translated(self._path.text):
                page = next(pages, None)
            if page is None:
                return
            yield from page

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        """Turn the errors of obstore into InvalidInput, or into PlaceUnavailable where a later try may succeed."""
        errors = self._errors
        try:
            yield
        except FileNotFoundError:
            raise ObjectMissing(f"{what} is not there any more, or its store has no such bucket.") from None
        except errors.InvalidPathError as error:
            raise InvalidInput(
                f"{what} cannot be listed: {_words(error)}.", hint="Keys with empty parts, as in a//b, cannot be read."
            ) from error
        except errors.PreconditionError:
            raise _changed(what) from None
        except (errors.BaseError, OSError, ValueError) as error:
            status = found[1] if (found := STATUS.search(str(error))) is not None else ""
            is_refused = isinstance(error, (errors.PermissionDeniedError, errors.UnauthenticatedError))
            if is_refused or status in ("401", "403"):
                variables = VARIABLES[self._path.scheme]
                hint = f"Start the owner with the {variables}… variables of an account that may."
                raise InvalidInput(f"{what} may not be read: {_words(error)}.", hint=hint) from error
            if ELSEWHERE in str(error):
                hint = "Set AWS_REGION of the owner to the region of the bucket."
                raise InvalidInput(f"{what} is in another region, or its store is elsewhere.", hint=hint) from error
            if status == "404":
                raise ObjectMissing(f"{what}: its store has no such bucket.") from error
            hint = "Check the store, its endpoint and the credentials."
            raise PlaceUnavailable(f"{what} cannot be read: {_words(error)}.", hint=hint) from error


def _below(begin: str) -> str:
    """Return a text below every key that begins with `begin`, and not far below, so that few other keys are listed."""
    if not begin[-1:].isascii() or not begin[-1:].isalnum():
        return begin[:-1]
    return f"{begin[:-1]}{chr(ord(begin[-1]) - 1)}zz"


def _changed(name: str) -> InvalidInput:
    return InvalidInput(f"{name} has changed since the job began to read it.", hint="Submit the job again.")


def _words(error: BaseException) -> str:
    return " ".join(str(error).partition("Debug source:")[0].split())[:300].rstrip(".")
