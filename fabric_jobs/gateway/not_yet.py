"""Keys of Fabric's queries that this version lacks (docs/reference/http.md): refused with 501 and a reason, never ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fabric_jobs.errors import NotThereYet

KUBERNETES = "this version does not run anything in Kubernetes yet"
DETAILS = "it shows nothing more"
# Keys of a query or a body, with the reason.
REASONS: Mapping[str, str] = {
    "stereotypes": KUBERNETES,
    "verbose": DETAILS,
}
FLAGS = ("verbose",)


def refuse(given: Mapping[str, Any], *names: str) -> None:
    """Raise NotThereYet if a query or a body asks for a missing feature; null, false and an empty text ask for nothing."""
    for name in names:
        values = [value for key, value in given.items() if key.partition("[")[0] == name]  # stereotypes[0]=a
        nothing = ("false",) if name in FLAGS else ("false", "")  # `?verbose` alone is a yes
        if any(value not in (None, False) and str(value).lower() not in nothing for value in values):
            reason = REASONS[name]
            raise NotThereYet(f"'{name}' has no effect: {reason}.", hint="Leave it out.")
