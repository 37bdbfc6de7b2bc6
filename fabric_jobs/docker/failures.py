"""Translates the errors of the docker library into ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fabric_jobs.errors import ExecutorUnavailable, InvalidInput

START = "Start it, or choose another one with DOCKER_HOST or `docker context use`."
RIGHTS = (
    "Your user may not use the engine: add it to the group 'docker' and log in again, or choose another engine "
    "with DOCKER_HOST."
)


class Gone(Exception):
    """The container, image or network does not exist."""


class Refused(InvalidInput):
    """The engine rejects the request; a retry would not help."""


@contextmanager
def translated(url: str = "") -> Iterator[None]:
    """Turn the library's exceptions into Gone, Refused or ExecutorUnavailable, whose text names `url`."""
    import requests
    import urllib3
    from docker import errors

    try:
        yield
    except errors.NotFound as error:
        raise Gone(words(error)) from error
    except errors.APIError as error:
        if error.status_code is not None and error.status_code < 500:
            raise Refused(words(error)) from error
        raise ExecutorUnavailable(f"the Docker engine reported an error: {words(error)}") from error
    except (errors.DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        reason = _bottom(error)
        raise ExecutorUnavailable(
            f"the Docker engine{url and f' at {url}'} does not answer: {_said(reason)}.",
            hint=RIGHTS if isinstance(reason, PermissionError) else START,
        ) from error


def has_timed_out(error: Any) -> bool:
    """Tell whether an error of the library means that the engine took too long to answer."""
    import requests
    import urllib3

    return isinstance(error, requests.ReadTimeout) or any(
        isinstance(each, urllib3.exceptions.ReadTimeoutError) for each in error.args
    )


def words(error: Any) -> str:
    """Return the engine's own message."""
    return str(error.explanation or error).strip().rstrip(".")


def _bottom(error: BaseException) -> BaseException:
    """Return the root cause of an error. The libraries wrap theirs several times."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__ or error
    return error


def _said(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).rstrip(".")
