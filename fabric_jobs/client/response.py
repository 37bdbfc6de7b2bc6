"""Reads the response of an activation, also while it grows."""

from __future__ import annotations

from collections.abc import Iterator

from fabric_jobs.client.gateway import Gateway, segment
from fabric_jobs.errors import PlaceUnavailable

TOGETHER = 10_000  # records in one call
WAIT_SECONDS = 20.0  # how long one call of a follower waits


class ResponseReader:
    """Reads a response from one end to the other. The gateway may restart meanwhile."""

    def __init__(self, gateway: Gateway, activation_id: str, *, skip: int = 0, limit: int | None = None) -> None:
        self.ended = False  # nothing more will come
        self._gateway = gateway
        self._path = f"/activations/{segment(activation_id)}/response"
        self._skip = skip
        self._left = limit
        self._cursor: str | None = None

    def parts(self, *, follow: bool = False) -> Iterator[bytes]:
        """Yield the records as NDJSON, in parts: those that are there, or with `follow` all until the end."""
        while not self.ended and self._left != 0:
            answer = self._gateway.raw(
                "GET",
                self._path,
                cursor=self._cursor,
                skip=self._skip or None if self._cursor is None else None,
                limit=TOGETHER if self._left is None else min(self._left, TOGETHER),
                wait=WAIT_SECONDS if follow else None,
            )
            self._cursor = answer.headers.get("x-fabric-cursor")
            if self._cursor is None:
                raise PlaceUnavailable("the gateway is older than this command.", hint="Upgrade it.")
            self.ended = answer.headers["x-fabric-end"] == "true"
            if answer.body:
                yield answer.body
                self._left = None if self._left is None else self._left - answer.body.count(b"\n")
            elif not follow:
                return
