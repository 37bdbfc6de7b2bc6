"""The calls that commands make. A call outlasts a restart of the gateway."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

from fabric_jobs import errors
from fabric_jobs.client.places import Line, OwnersPlace, RemotePlace
from fabric_jobs.errors import FabricJobsError, PlaceUnavailable
from fabric_jobs.runtime.fabric_skill.http import Answer, Disconnected

if TYPE_CHECKING:
    from fabric_jobs.client.remote import LongAnswer, Remote

T = TypeVar("T")

PATIENCE_SECONDS = 30.0


class Gateway:
    """A gateway: the owner of a state directory, started if there is none, or a remote one."""

    def __init__(self, place: Path | Remote, *, project_id: str | None = None) -> None:
        """Start the owner if there is none, but wait for nothing before the first call."""
        if isinstance(place, Path):
            self._place: OwnersPlace | RemotePlace = OwnersPlace(place)
            project = project_id or "local"
        else:
            from fabric_jobs.client.remote import RemoteConnection  # late: http.client is slow to import

            place.check()
            self._place = RemotePlace(place.url, RemoteConnection(place))
            project = project_id or place.project_id
        self.project_id = project
        self._prefix = f"/fabric/v4/projects/{quote(project, safe='')}"
        self._line: Line | None = None
        self._answered = False

    @property
    def is_local(self) -> bool:
        """Whether it can read this machine's files."""
        return self._place.is_local

    @property
    def executor(self) -> str:
        """The default executor; empty if only the gateway knows it."""
        self._line = self._line or self._place.connect()
        return self._place.executor

    @property
    def url(self) -> str:
        """Its URL for clients that use TCP."""
        self._line = self._line or self._place.connect()
        return self._place.url

    def check_engine(self) -> None:
        """Raise PlaceUnavailable if the gateway runs containers on another engine than this command's."""
        self._line = self._line or self._place.connect()
        self._place.check_engine()

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of a GET below the project; None values of the query are left out."""
        return _json(self.raw("GET", path, **query))

    def post(self, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> Any:
        """Return the JSON of a POST below the project. The request may be repeated, so it must be idempotent."""
        data = json.dumps({} if body is None else body).encode()
        return _json(self._repeat("POST", self._prefix + path, data, headers or {}))

    def put(self, path: str, body: Any) -> Any:
        """Return the JSON of a PUT below the project."""
        return _json(self._repeat("PUT", self._prefix + path, json.dumps(body).encode(), {}))

    def graph(self, query: str, **variables: Any) -> Any:
        """Return the data of a GraphQL query. The request may be repeated, so it must be idempotent."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        return _json(self._repeat("POST", "/fabric/v4/graphql", body, {}))["data"]

    def post_text(self, path: str, text: str, headers: dict[str, str], **query: str) -> Answer:
        """Return the answer of a POST of JSON as text to a path outside of the project; empty values of the query are left out.

        The request may be repeated, so it must be idempotent.
        """
        wanted = {key: value for key, value in query.items() if value}
        target = path + (f"?{urlencode(wanted)}" if wanted else "")
        return self._repeat("POST", target, text.encode(), headers)

    def raw(self, method: str, path: str, **query: Any) -> Answer:
        """Return the answer of a call below the project."""
        wanted = {key: value for key, value in query.items() if value is not None}
        target = self._prefix + path + (f"?{urlencode(wanted)}" if wanted else "")
        return self._repeat(method, target, b"", {})

    def stream(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: dict[str, str] | None = None,
        *,
        of_project: bool = True,
    ) -> LongAnswer:
        """Return the answer of a call, normally below the project, whose bodies may be of any length; raise Disconnected.

        It is not repeated: see `patiently`.
        """
        self._line = self._line or self._place.connect()
        try:
            target = self._prefix + path if of_project else path
            stream = self._place.streaming().stream(method, target, body, headers=headers or {})
            if stream.status >= 300:
                raise _error(stream.whole())
        except Disconnected:
            self._line = None
            raise
        self._answered = True
        return stream

    def _repeat(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> Answer:
        return self.patiently(lambda: self._call(method, target, body, headers))

    def patiently(self, call: Callable[[], T]) -> T:
        """Call until there is an answer: a gateway that went away may come back, or is started again."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return call()
            except Disconnected as error:
                lost = self._place.lost(str(error))
                # A remote gateway that has never answered probably does not exist.
                if time.monotonic() > deadline or not (self._answered or self.is_local):
                    raise lost from error
                time.sleep(0.01 if self.is_local else 0.5)

    def _call(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> Answer:
        line = self._line = self._line or self._place.connect()
        try:
            answer = line.request(method, target, body, headers=headers)
        except Disconnected:
            self._line = None
            raise
        except KeyboardInterrupt:
            line.close()  # its late answer would be taken for that of the next call
            raise
        self._answered = True
        if answer.status >= 300:
            raise _error(answer)
        return answer


def segment(name: str) -> str:
    """Return a name as one segment of a path."""
    return quote(name, safe="")


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
    except ValueError as error:
        raise PlaceUnavailable(
            "the answer is not JSON.", hint="Is this the address of a fabric-jobs gateway?"
        ) from error


def _error(answer: Answer) -> FabricJobsError:
    try:
        body = json.loads(answer.body)
        kind = getattr(errors, body.get("error", ""), FabricJobsError)
        if kind is errors.InvalidDefinition:
            kind = errors.InvalidInput
        found: FabricJobsError = kind(body["message"], hint=body.get("hint", ""))
        if isinstance(found, errors.AlreadyExists):
            found.activation_id = str(body.get("activationId", ""))
        return found
    except (ValueError, KeyError, TypeError, AttributeError):
        said = f"the gateway answered {answer.status}"
        if answer.status == 400 and answer.headers.get("content-type", "").startswith("text/plain"):  # of a dry run
            return errors.InvalidInput(answer.body.decode(errors="replace").strip())
        if answer.status >= 500:
            return FabricJobsError(f"{said}.", hint="See its log, owner.log in the state directory.")
        hint = "Is this the address of a fabric-jobs gateway?"
        return PlaceUnavailable(f"{said} without an error message of its own.", hint=hint)
