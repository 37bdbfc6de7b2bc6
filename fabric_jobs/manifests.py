"""Builds parts of Kubernetes objects, as plain values. Pure. `executors.kubernetes` has the objects themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from hashlib import blake2b
from typing import Any

from fabric_jobs.errors import InvalidInput

LONGEST = 52  # of a name: 63 allowed, and a suffix of the Job controller and of the pod follow
INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


def listed(items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return objects as one, which `kubectl create` takes."""
    return {"apiVersion": "v1", "kind": "List", "items": list(items)}


def object_name(*words: str) -> str:
    """Return words as the name of an object: lower-case letters, digits and '-'; cut words end in a hash of the whole."""
    text = "-".join(words)
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"
    if len(name) <= LONGEST:
        return name
    mark = blake2b(text.encode(), digest_size=4).hexdigest()
    return f"{name[: LONGEST - len(mark) - 1].rstrip('-')}-{mark}"


def literal(text: str) -> str:
    """Return a text that Kubernetes takes as it is: it would replace `$(NAME)`, and make one `$` of two."""
    return re.sub(r"\$(?=[$(])", "$$", text)


def patched(pod: dict[str, Any], patches: Iterable[Mapping[str, Any]], what: str) -> dict[str, Any]:
    """Return a pod with a `podSpec`: each item is put at its path, as `add` of RFC 6902 does.

    Raises InvalidInput for a path that leads nowhere; its text begins with `what`.
    """
    for patch in patches:
        try:
            pod = _added(pod, patch["path"], deepcopy(patch["value"]))
        except (KeyError, IndexError, TypeError) as error:
            raise InvalidInput(
                f"{what}: nothing can be added at '{patch['path']}' of its podSpec.",
                hint="All but the last part of the path has to be there; '-' adds to the end of a list.",
            ) from error
    return pod


def _added(document: Any, pointer: str, value: Any) -> Any:
    """Return a document with a value at a JSON pointer; raise KeyError, IndexError or TypeError when there is no such place."""
    if not pointer:
        return value
    *path, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    place = changed = deepcopy(document)
    for part in path:
        place = place[part] if isinstance(place, dict) else place[_index(part, len(place) - 1)]
    if isinstance(place, dict):
        place[last] = value
    elif isinstance(place, list):
        place.insert(len(place) if last == "-" else _index(last, len(place)), value)
    else:
        raise TypeError(last)
    return changed


def _index(text: str, highest: int) -> int:
    if not INDEX.fullmatch(text) or int(text) > highest:
        raise IndexError(text)
    return int(text)
