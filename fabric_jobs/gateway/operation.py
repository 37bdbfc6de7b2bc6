"""A route as one value: for the router, the handler, `/openapi.json` and docs/reference/http.md."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fabric_jobs.errors import FabricJobsError
from fabric_jobs.gateway.access import Visitor
from fabric_jobs.gateway.caller import authorize, caller_of, is_welcome
from fabric_jobs.gateway.cortex_errors import answer_cortex_error
from fabric_jobs.gateway.json_response import object_of
from fabric_jobs.gateway.not_yet import refuse
from fabric_jobs.gateway.parameters import Parameter
from fabric_jobs.gateway.parts import Parts, parts_of

T = TypeVar("T")


class Call(Request):
    """A request for an operation that was read: the caller is allowed, and the input is well-formed."""

    object: dict[str, Any]  # the body, of an operation that has one
    _asked: dict[str, Any]

    @cached_property
    def parts(self) -> Parts:
        """The parts of the called owner."""
        return parts_of(self)

    @property
    def caller(self) -> Visitor:
        """Who calls: username, role and project."""
        return caller_of(self)

    @property
    def project(self) -> str:
        """The project of the path."""
        return str(self.path_params["project"])

    def of(self, parameter: Parameter[T]) -> T:
        """Return the value of a parameter of the operation."""
        value: T = self._asked[parameter.name]
        return value

    def take_defaults(self, *parameters: Parameter[Any]) -> None:
        """Take the default of each parameter, for a call that has no query."""
        self._asked = {parameter.name: parameter.default for parameter in parameters}

    async def read(self, operation: Operation) -> None:
        """Read the input of an operation; raise NotAllowed, Forbidden, NotFound, NotThereYet,
        InvalidInput or RecordTooLarge."""
        if operation.caller == "user" and not (operation.is_open and is_welcome(self)):
            authorize(self, operation.needs)
        refuse(self.query_params, *operation.not_yet)
        self._asked = {parameter.name: parameter.of(self) for parameter in operation.parameters}
        if operation.body and operation.is_read:
            self.object = await object_of(self, self.parts.settings.body_bytes)


class Operation(NamedTuple):
    """One method of one path.

    The first line of its handler's docstring is the summary, the rest is the description, and the handler's name makes the
    operation's. Schemas are only named here; `gateway.schemas` defines them, and only the documentation reads it.
    """

    method: str
    path: str  # in the router's form
    handler: Callable[[Call], Awaitable[Response]]
    answer: str | tuple[str, ...]  # the names of its possible schemas
    others: Mapping[str, tuple[str, ...]] = {}  # by status: its meaning, then the names of its schemas
    headers: Mapping[str, str] = {}  # of the answer
    parameters: tuple[Parameter[Any], ...] = ()  # of query and headers; `path` has its own
    body: str = ""  # the name of its schema
    is_read: bool = True  # whether the body is read before the handler is called
    errors: tuple[str, ...] = ()  # beyond those that the other fields imply
    not_yet: tuple[str, ...] = ()  # keys of Fabric's query that this version refuses
    caller: str = (
        "user"  # whose token it takes: user (a personal one or that of a task too) | task, pool (for itself) | none
    )
    role: str = ""  # of a user in the project: read | run | admin | owner; by default read to look, admin to change
    is_open: bool = False  # whether `serve --open-apis` lets everybody call it
    is_of_cortex: bool = False  # whether its errors have the form of Cortex Labs

    @property
    def needs(self) -> str:
        """The least role of a caller; see `gateway.access.ROLES`."""
        return self.role or ("read" if self.method in ("GET", "HEAD") else "admin")

    def route(self) -> Route:
        """Return the route for the router."""
        return Route(self.path, self._answer, methods=[self.method])

    async def _answer(self, request: Request) -> Response:
        call = Call(request.scope, request.receive)
        try:
            await call.read(self)
            return await self.handler(call)
        except FabricJobsError as error:
            if not self.is_of_cortex:
                raise
            return answer_cortex_error(error)
