"""A route as one value: for the router, the handler, `/openapi.json` and docs/reference/http.md."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fabric_jobs.gateway.caller import user_of
from fabric_jobs.gateway.json_response import object_of
from fabric_jobs.gateway.not_yet import refuse
from fabric_jobs.gateway.parameters import Parameter
from fabric_jobs.gateway.parts import Parts, parts_of

T = TypeVar("T")


class Call(Request):
    """A request for an operation, read: whoever asks may, and what the operation takes is right in its form."""

    object: dict[str, Any]  # the body, of an operation that has one
    _asked: dict[str, Any]

    @cached_property
    def parts(self) -> Parts:
        """The parts of the owner that was called."""
        return parts_of(self)

    @property
    def project(self) -> str:
        """The project of the path."""
        return str(self.path_params["project"])

    def of(self, parameter: Parameter[T]) -> T:
        """Return what is said for a parameter of the operation."""
        value: T = self._asked[parameter.name]
        return value

    async def read(self, operation: Operation) -> None:
        """Read what an operation takes; raise NotAllowed, NotThereYet, InvalidInput or RecordTooLarge."""
        if operation.caller == "user":
            user_of(self)
        refuse(self.query_params, *operation.not_yet)
        self._asked = {parameter.name: parameter.of(self) for parameter in operation.parameters}
        if operation.body and operation.is_read:
            self.object = await object_of(self, self.parts.settings.body_bytes)


class Operation(NamedTuple):
    """One method of one path.

    The first line of its handler's docstring is what it does, what follows there is said in the documentation, and its name
    makes the operation's. Schemas are named here and kept in `gateway.schemas`, which is read for the documentation only.
    """

    method: str
    path: str  # as the router has it
    handler: Callable[[Call], Awaitable[Response]]
    answer: str | tuple[str, ...]  # the schemas: it follows one of them
    others: Mapping[str, tuple[str, ...]] = {}  # by status: its meaning, and the schemas
    headers: Mapping[str, str] = {}  # of the answer
    parameters: tuple[Parameter[Any], ...] = ()  # of query and headers: those of the path are in the path
    body: str = ""  # the schema of what is sent
    is_read: bool = True  # before the handler is called, that is
    errors: tuple[str, ...] = ()  # beyond those that follow from the rest
    not_yet: tuple[str, ...] = ()  # keys of the query that Fabric has
    caller: str = "user"  # user | task | none: whose token it takes

    def route(self) -> Route:
        """Return it as the router has it."""
        return Route(self.path, self._answer, methods=[self.method])

    async def _answer(self, request: Request) -> Response:
        call = Call(request.scope, request.receive)
        await call.read(self)
        return await self.handler(call)
