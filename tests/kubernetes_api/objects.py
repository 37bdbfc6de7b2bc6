"""The objects of the API server: versions, a history that watches start from, and what watches hear."""

from __future__ import annotations

import asyncio
import base64
import random
import string
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

Object = dict[str, Any]
Matches = Callable[[Object], bool]

HISTORY = 50_000  # changes that a watch may start from
API_VERSIONS = {
    "pods": ("v1", "Pod"),
    "secrets": ("v1", "Secret"),
    "configmaps": ("v1", "ConfigMap"),
    "services": ("v1", "Service"),
    "events": ("v1", "Event"),
    "jobs": ("batch/v1", "Job"),
    "deployments": ("apps/v1", "Deployment"),
}


class Refused(Exception):
    """An answer other than a success."""

    def __init__(self, code: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.body = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": message,
            "reason": reason,
            "details": details,
            "code": code,
        }


class Change(NamedTuple):
    """One line of the history."""

    version: int
    kind: str
    namespace: str
    line: bytes  # as watches send it
    object: Object


@dataclass(eq=False)
class Watcher:
    """Somebody who hears of changes."""

    kind: str
    namespace: str
    matches: Matches
    lines: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)

    def offer(self, change: Change) -> None:
        """Let it hear of a change, if that is one of its own."""
        if change.kind == self.kind and change.namespace == self.namespace and self.matches(change.object):
            self.lines.put_nowait(change.line)


class Objects:
    """All objects. It belongs to one thread."""

    def __init__(self) -> None:
        self.version = 1
        self.on_change: list[Callable[[str, str, Object], None]] = []  # told (event, kind, object) of each change
        self._found: dict[tuple[str, str], dict[str, Object]] = {}  # by kind and namespace, then name
        self._history: deque[Change] = deque(maxlen=HISTORY)
        self._oldest = 0  # watches from an older version are refused
        self._watchers: set[Watcher] = set()

    def every(self, kind: str, namespace: str, matches: Matches = lambda found: True) -> list[Object]:
        """Return the objects of a kind that match."""
        return [found for found in self._found.get((kind, namespace), {}).values() if matches(found)]

    def get(self, kind: str, namespace: str, name: str) -> Object:
        """Return an object."""
        found = self._found.get((kind, namespace), {}).get(name)
        if found is None:
            raise Refused(404, "NotFound", f'{kind} "{name}" not found', name=name, kind=kind)
        return found

    def create(self, kind: str, namespace: str, body: Object) -> Object:
        """Add an object, with what the server fills in."""
        metadata = dict(body.get("metadata") or {})
        if "name" not in metadata:
            metadata["name"] = metadata.get("generateName", "") + "".join(random.choices(string.ascii_lowercase, k=5))
        name = str(metadata["name"])
        if name in self._found.get((kind, namespace), {}):
            raise Refused(409, "AlreadyExists", f'{kind} "{name}" already exists', name=name, kind=kind)
        api_version, word = API_VERSIONS[kind]
        found = {**body, "apiVersion": api_version, "kind": word}
        found["metadata"] = {**metadata, "namespace": namespace, "uid": str(uuid.uuid4()), "creationTimestamp": now()}
        if "stringData" in found:
            encoded = {key: base64.b64encode(text.encode()).decode() for key, text in found.pop("stringData").items()}
            found["data"] = {**(found.get("data") or {}), **encoded}
        return self._put("ADDED", kind, namespace, found)

    def change(self, kind: str, namespace: str, name: str, patch: Object) -> Object:
        """Merge a patch (RFC 7396) into an object; what is equal afterwards is no change."""
        before = self.get(kind, namespace, name)
        after = merged(before, patch)
        return before if after == before else self._put("MODIFIED", kind, namespace, after)

    def delete(self, kind: str, namespace: str, name: str) -> Object:
        """Delete an object, and all that it owns."""
        found = self._found.get((kind, namespace), {}).pop(name, None)
        if found is None:
            raise Refused(404, "NotFound", f'{kind} "{name}" not found', name=name, kind=kind)
        self._put("DELETED", kind, namespace, found)
        return found

    def owned(self, namespace: str, uid: str) -> list[tuple[str, str]]:
        """Return kind and name of the objects that an object owns."""
        return [
            (kind, str(found["metadata"]["name"]))
            for (kind, place), there in self._found.items()
            if place == namespace
            for found in there.values()
            if any(owner["uid"] == uid for owner in found["metadata"].get("ownerReferences") or ())
        ]

    def watch(self, kind: str, namespace: str, version: int, matches: Matches) -> Watcher:
        """Return a watcher that hears of all changes after a version."""
        if version < self._oldest:
            raise Refused(410, "Expired", f"too old resource version: {version} ({self._oldest})")
        watcher = Watcher(kind, namespace, matches)
        for change in self._history:
            if change.version > version:
                watcher.offer(change)
        self._watchers.add(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Let a watcher hear nothing any more."""
        self._watchers.discard(watcher)

    def forget(self) -> None:
        """Forget all history, as a server whose store was compacted: watches from an older version have to list again."""
        self._history.clear()
        self._oldest = self.version

    def _put(self, event: str, kind: str, namespace: str, found: Object) -> Object:
        self.version += 1
        found = {**found, "metadata": {**found["metadata"], "resourceVersion": str(self.version)}}
        if event != "DELETED":
            self._found.setdefault((kind, namespace), {})[str(found["metadata"]["name"])] = found
        line = orjson.dumps({"type": event, "object": found}) + b"\n"
        change = Change(self.version, kind, namespace, line, found)
        if len(self._history) == HISTORY:
            self._oldest = self._history[0].version
        self._history.append(change)
        for watcher in self._watchers:
            watcher.offer(change)
        for tell in self.on_change:
            tell(event, kind, found)
        return found


def now() -> str:
    """Return the time as objects have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def merged(before: Any, patch: Any) -> Any:
    """Return a value with a patch of RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    found = dict(before) if isinstance(before, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


def selected(labels: str, fields: str) -> Matches:
    """Return the test that a label selector (`a=b`, `a!=b`, `a`, `!a`) and a field selector (`a.b=c`) stand for."""
    tests = [_label_test(part) for part in labels.split(",") if part]
    tests += [_field_test(part) for part in fields.split(",") if part]
    return lambda found: all(test(found) for test in tests)


def _label_test(part: str) -> Matches:
    def of(found: Object) -> Object:
        labels: Object = found["metadata"].get("labels") or {}
        return labels

    if "!=" in part:
        key, _, value = part.partition("!=")
        return lambda found: of(found).get(key) != value
    if "=" in part:
        key, _, value = part.replace("==", "=").partition("=")
        return lambda found: of(found).get(key) == value
    if part.startswith("!"):
        return lambda found: part[1:] not in of(found)
    return lambda found: part in of(found)


def _field_test(part: str) -> Matches:
    path, _, value = part.replace("==", "=").partition("=")

    def test(found: Object) -> bool:
        at: Any = found
        for key in path.split("."):
            at = at.get(key, "") if isinstance(at, dict) else ""
        return bool(at == value)

    return test
