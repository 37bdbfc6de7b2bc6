"""The calls that commands make. A call outlasts a restart of the owner."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fabric_jobs import errors
from fabric_jobs.client.owner import Starting, running
from fabric_jobs.errors import FabricJobsError, PlaceUnavailable
from fabric_jobs.runtime.fabric_skill.http import Answer, Connection, Disconnected

PATIENCE_SECONDS = 30.0
RESPONSE_RECORDS = 10_000  # records of a response in one call


class Gateway:
    """The owner of a state directory, started when there is none."""

    def __init__(self, state_dir: Path, *, project_id: str = "local") -> None:
        """Nothing is waited for before the first call; an owner that has to start does so meanwhile."""
        self._state_dir = state_dir
        self._prefix = f"/fabric/v4/projects/{quote(project_id, safe='')}"
        self._connection: Connection | None = None
        self._starting: Starting | None = None
        self._address = running(state_dir)
        if self._address is None:
            self._starting = Starting(state_dir)

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of a GET below the project; None values of the query are left out."""
        return json.loads(self.raw("GET", path, **query).body)

    def post(self, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> Any:
        """Return the JSON of a POST below the project. What is posted must bear being posted twice."""
        data = json.dumps({} if body is None else body).encode()
        return json.loads(self._repeat("POST", self._prefix + path, data, headers or {}).body)

    def put(self, path: str, body: Any) -> Any:
        """Return the JSON of a PUT below the project."""
        return json.loads(self._repeat("PUT", self._prefix + path, json.dumps(body).encode(), {}).body)

    def raw(self, method: str, path: str, **query: Any) -> Answer:
        """Return the answer of a call below the project."""
        wanted = {key: value for key, value in query.items() if value is not None}
        target = self._prefix + path + (f"?{urlencode(wanted)}" if wanted else "")
        return self._repeat(method, target, b"", {})

    def response(self, activation_id: str, *, skip: int, limit: int | None) -> Iterator[bytes]:
        """Yield the records of a response as NDJSON, in parts."""
        left = limit
        while left is None or left > 0:
            size = RESPONSE_RECORDS if left is None else min(left, RESPONSE_RECORDS)
            part = self.raw("GET", f"/activations/{segment(activation_id)}/response", skip=skip, limit=size).body
            if not part:
                return
            yield part
            count = part.count(b"\n")
            skip += count
            left = None if left is None else left - count

    def _repeat(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Call until there is an answer: an owner that went away comes back, or is started again."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._call(method, target, body, headers)
            except _Lost as error:
                if time.monotonic() > deadline:
                    raise PlaceUnavailable(error.message, hint=error.hint) from error
                time.sleep(0.01)

    def _call(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> Answer:
        connection = self._connect()
        try:
            answer = connection.request(method, target, body, headers=headers)
        except Disconnected as error:
            self._connection = self._address = None
            raise _Lost(f"the owner of {self._state_dir} went away: {error}", hint="Type the command again.") from error
        except KeyboardInterrupt:
            connection.close()  # its answer is still to come, and would be taken for that of the next call
            raise
        if answer.status >= 400:
            raise _error(answer)
        return answer

    def _connect(self) -> Connection:
        if self._connection is not None:
            return self._connection
        if self._address is None and self._starting is None:
            self._address = running(self._state_dir)
        if self._address is None:
            self._address = (self._starting or Starting(self._state_dir)).wait()
            self._starting = None
        self._connection = Connection(self._address.socket, self._address.token)
        return self._connection


class _Lost(PlaceUnavailable):
    """The connection was lost during a call."""


def segment(name: str) -> str:
    """Return a name as one segment of a path."""
    return quote(name, safe="")


def _error(answer: Answer) -> FabricJobsError:
    try:
        body = json.loads(answer.body)
        kind = getattr(errors, body.get("error", ""), FabricJobsError)
        if kind is errors.InvalidDefinition:
            kind = errors.InvalidInput
        found: FabricJobsError = kind(body["message"], hint=body.get("hint", ""))
        return found
    except (ValueError, KeyError, TypeError, AttributeError):
        return FabricJobsError(
            f"the gateway answered {answer.status}.", hint="Its log is owner.log in the state directory."
        )
