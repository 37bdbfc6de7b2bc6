"""Calls a gateway."""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from .refused import Refused

TOKEN = "FABRIC_JOBS_TOKEN"


class Operator(NamedTuple):
    """A gateway, called like Cortex Labs' operator."""

    url: str
    token: str

    def json(self, method: str, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Return the JSON of a call; raise Refused."""
        with self.opened(method, path, query) as answer:
            return _json(answer.read())

    def send(
        self, path: str, query: Mapping[str, str], body: bytes | Iterator[bytes] | None, headers: dict[str, str]
    ) -> Any:
        """Return the JSON of a POST; raise Refused."""
        with self.opened("POST", path, query, body, headers) as answer:
            return _json(answer.read())

    def log(self, url: str) -> Iterator[str]:
        """Yield the pieces of a job's log as they come; raise Refused."""
        with Operator(url, self.token).opened("GET", "") as answer:
            for line in answer:
                yield str(_json(line)["log"])

    def opened(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes | Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """Return the open answer to a call; raise Refused for an error, and when there is none."""
        target = self.url.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
        sent = {**(headers or {}), **({"Authorization": f"Bearer {self.token}"} if self.token else {})}
        try:
            return urllib.request.urlopen(urllib.request.Request(target, body, sent, method=method))
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error.code, error.read()) from None
        except (OSError, ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise Refused(
                "cli.failed_to_connect_operator",
                f"the gateway {self.url} cannot be reached: {reason}.",
                "Check the address of the environment: fabric-jobs-cortex env list",
            ) from None


def own_token() -> str:
    """Return the token that the environment gives; empty if none. That of a task is added by its worker, for its gateway only."""
    return os.environ.get(TOKEN, "")


def _refusal(status: int, body: bytes) -> Refused:
    try:
        said = json.loads(body)
        return Refused(str(said.get("kind", "")), str(said["message"]), str(said.get("hint", "")))
    except (ValueError, KeyError, AttributeError, TypeError):
        return Refused("", f"the gateway answered {status}.", "Is this the address of a fabric-jobs gateway?")


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise Refused("", "the answer is not JSON.", "Is this the address of a fabric-jobs gateway?") from None
