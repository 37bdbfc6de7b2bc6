"""Features of Fabric that this version lacks (docs/reference/http.md): refused with 501 and a reason, never ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fabric_jobs.errors import NotThereYet
from fabric_jobs.gateway.caller import authorize
from fabric_jobs.gateway.parameters import P

KUBERNETES = "this version does not run anything in Kubernetes yet"
DETAILS = "it shows nothing more"
# Keys of a query or a body, with the reason.
REASONS: Mapping[str, str] = {
    "stereotypes": KUBERNETES,
    "verbose": DETAILS,
}
FLAGS = ("verbose",)
# Resources of Fabric, by the first part of their path below the project.
RESOURCES: Mapping[str, str] = {}
METHODS = ["GET", "POST", "PUT", "DELETE"]


def refuse(given: Mapping[str, Any], *names: str) -> None:
    """Raise NotThereYet if a query or a body asks for a missing feature; null, false and an empty text ask for nothing."""
    for name in names:
        values = [value for key, value in given.items() if key.partition("[")[0] == name]  # stereotypes[0]=a
        nothing = ("false",) if name in FLAGS else ("false", "")  # `?verbose` alone is a yes
        if any(value not in (None, False) and str(value).lower() not in nothing for value in values):
            reason = REASONS[name]
            raise NotThereYet(f"'{name}' has no effect: {reason}.", hint="Leave it out.")


async def refuse_resource(request: Request) -> Response:
    """Refuse a resource that this version does not have."""
    authorize(request, "read")
    path = request.url.path
    kind = next((meaning for name, meaning in RESOURCES.items() if f"/{name}" in path), "")
    kind = kind or "types of connections"
    raise NotThereYet(f"{request.method} {path}: this version does not have {kind} yet.")
    raise NotThereYet(f"{request.method} {path}: this version does not have {kind or 'GraphQL'} yet.")


# Not part of the API, so these are no operations.
ROUTES: tuple[Route, ...] = (
    Route("/fabric/v4/connectiontypes", refuse_resource, methods=["GET"]),
    Route("/fabric/v4/graphql", refuse_resource, methods=["POST"]),
    Route(P + "/agents/{name:path}/snapshots", refuse_resource, methods=["GET", "POST"]),
    *(Route(f"{P}/{kind}", refuse_resource, methods=METHODS) for kind in RESOURCES),
    *(Route(f"{P}/{kind}/{{rest:path}}", refuse_resource, methods=METHODS) for kind in RESOURCES),
)
