"""What all pods of an executor have in common: settings of a place (docs/reference/settings.md#kubernetes)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.kubernetes.mesh import MESHES, OFF

NAME = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
LABEL_KEY = r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
LABEL_VALUE = r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?"
USER = r"[1-9][0-9]{0,8}"


@dataclass(frozen=True, kw_only=True)
class Around:
    """What all pods of an executor have in common."""

    owner: str
    gateway: str = ""  # http://HOST:PORT as pods see it
    queue: str = ""  # of Kueue; empty: none
    mesh: str = OFF  # one of MESHES
    service_account: str = ""  # empty: that of the namespace, without its token
    pull_secrets: tuple[str, ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    user: int = 0  # the uid of all programs; 0: that of their images


def around(owner: str, gateway: str = "") -> Around:
    """Return what the settings say. Raise InvalidInput for a wrong one."""
    return Around(
        owner=owner,
        gateway=gateway,
        queue=_matching("FABRIC_JOBS_KUBERNETES_QUEUE", NAME, "the name of a queue of Kueue"),
        mesh=_matching("FABRIC_JOBS_KUBERNETES_MESH", "|".join(MESHES), f"one of {', '.join(MESHES)}") or OFF,
        service_account=_matching("FABRIC_JOBS_KUBERNETES_SERVICE_ACCOUNT", NAME, "the name of a service account"),
        pull_secrets=_pull_secrets(),
        node_selector=_node_selector(),
        user=int(_matching("FABRIC_JOBS_KUBERNETES_USER", USER, "the number of a user other than root") or 0),
    )


def _pull_secrets() -> tuple[str, ...]:
    one = rf"\s*{NAME}\s*"
    return _parts(
        _matching(
            "FABRIC_JOBS_KUBERNETES_PULL_SECRETS", f"{one}(,{one})*", "a list of names of Secrets, separated by commas"
        )
    )


def _node_selector() -> dict[str, str]:
    one = rf"\s*{LABEL_KEY}={LABEL_VALUE}\s*"
    text = _matching(
        "FABRIC_JOBS_KUBERNETES_NODE_SELECTOR",
        f"{one}(,{one})*",
        "a list of labels such as disk=ssd, separated by commas",
    )
    return dict(part.split("=", 1) for part in _parts(text))


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _matching(name: str, pattern: str, what: str) -> str:
    text = os.environ.get(name, "").strip()
    if text and not re.fullmatch(pattern, text):
        raise InvalidInput(f"{name} is {what}, not '{text}'.", hint="Correct the variable, or unset it.")
    return text
