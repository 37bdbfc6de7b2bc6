"""The secrets of an owner: stored sealed, opened for messages and for whoever asks, and hidden in what is shown."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from fabric_jobs.errors import InvalidInput, NotFound, PlaceUnavailable
from fabric_jobs.masks import Masks
from fabric_jobs.names import nearest
from fabric_jobs.routing import SECRET, Plan
from fabric_jobs.sealing import Keys, Unsealable
from fabric_jobs.store import Store, Tx
from fabric_jobs.store import secrets as rows
from fabric_jobs.store.secrets import SealedSecret

NAME = re.compile(r"\w+([./-]\w+)*", re.ASCII)  # as `cortex` requires
NAME_LENGTH = 255


class Secrets:
    """The secrets of all projects. Everything here may be called in any thread."""

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store = store
        self._keys = keys
        self._masks: dict[str, Masks] = {}  # by project; another dictionary after each change
        self._rotating = threading.Lock()

    def check(self) -> None:
        """Raise PlaceUnavailable if the key of a secret is not there. Nothing is changed."""
        missing = [secret for secret in rows.of_all(self._store.read) if secret.key_id not in self._keys]
        if missing:
            is_there = self._keys.path.exists()
            raise PlaceUnavailable(
                f"the secrets cannot be opened: {self._keys.path} "
                + (
                    "has another key than the one that sealed them." if is_there else "is missing, which has their key."
                ),
                hint="Put the right file there, or name it with FABRIC_JOBS_SECRETS_KEY_FILE. Nothing was changed.",
            )

    def listed(self, project_id: str) -> list[SealedSecret]:
        """Return the secrets of a project, by name, sealed."""
        return rows.listed(self._store.read, project_id)

    def value(self, project_id: str, name: str) -> Any:
        """Return the value of a secret; raise NotFound, or PlaceUnavailable if it is damaged."""
        found = rows.find(self._store.read, project_id, name)
        if found is None:
            known = [secret.name for secret in self.listed(project_id)]
            hint = nearest(name, known) or _how_to_set(name)
            raise NotFound(f"there is no secret '{name}' in project '{project_id}'.", hint=hint)
        return self._opened(found)

    def put(self, project_id: str, name: str, value: Any) -> Future[None]:
        """Store a secret, or replace it; raise InvalidInput for a wrong name."""
        if not is_name(name):
            raise InvalidInput(
                f"'{name[:NAME_LENGTH]}' is not a valid name of a secret: it must consist of letters, digits and '_', with single "
                f"'.', '/' or '-' between them, and have at most {NAME_LENGTH} characters.",
                hint="Choose another name, for example 'database/password'.",
            )

        def write(tx: Tx) -> None:
            key_id, sealed = self._keys.seal(value)  # here, so that no rotation comes between
            secret = SealedSecret(project_id=project_id, name=name, key_id=key_id, sealed=sealed, saved_at=time.time())
            rows.put(tx, secret)

        return self._changing(self._store.write(write))

    def delete(self, project_id: str, name: str) -> Future[bool]:
        """Delete a secret; the future holds whether there was one."""
        return self._changing(self._store.write(lambda tx: rows.delete(tx, project_id, name)))

    def rotate(self) -> int:
        """Make a new key, seal every secret with it, and drop the old one; return how many secrets there are.

        After a crash in between, the file has both keys, and every secret is still readable.
        """
        with self._rotating:
            self._keys.add()
            count: int = self._store.write(self._reseal).result()
            self._keys.drop_old()
        return count

    def resolved(self, project_id: str, value: Any) -> Any:
        """Return a JSON value with the secrets that its texts name; the same object if it names none.

        Raises InvalidInput if there is no such secret, PlaceUnavailable if one is damaged.
        """
        if next(named_in(value), None) is None:
            return value
        try:
            return _replaced(value, lambda name: self.value(project_id, name))
        except NotFound as error:
            raise InvalidInput(error.message, hint=error.hint) from error

    def check_plan(self, project_id: str, plan: Plan) -> None:
        """Raise InvalidInput if a property in a plan names a secret that is not there."""
        used = ((node, key, value) for node in plan.nodes.values() for key, value in node.properties.items())
        for node, key, value in used:
            for name in named_in(value):
                if rows.find(self._store.read, project_id, name) is None:
                    raise InvalidInput(
                        f"skill '{node.skill_name}': the property '{key}' is '{SECRET}{name}', "
                        f"but there is no such secret in project '{project_id}'.",
                        hint=_how_to_set(name) or "Correct its name.",
                    )

    def masks(self, project_id: str) -> Masks:
        """Return what hides the secrets of a project in what is shown."""
        kept = self._masks  # before the secrets are read: after a change it is another one
        if project_id not in kept:
            kept[project_id] = Masks(self._values(project_id))
        return kept[project_id]

    def _values(self, project_id: str) -> Iterator[Any]:
        for secret in self.listed(project_id):
            try:
                yield self._opened(secret)
            except PlaceUnavailable:
                continue  # a program cannot have got it either

    def _opened(self, secret: SealedSecret) -> Any:
        try:
            return self._keys.open(secret.key_id, secret.sealed)
        except Unsealable as error:
            raise PlaceUnavailable(
                f"the secret '{secret.name}' cannot be opened: it is damaged, or its key is missing in {self._keys.path}.",
                hint=f"Set it anew with `fabric-jobs secrets set {secret.name}`.",
            ) from error

    def _reseal(self, tx: Tx) -> int:
        found = rows.of_all(tx)
        for secret in found:
            key_id, sealed = self._keys.seal(self._opened(secret))
            rows.put(tx, replace(secret, key_id=key_id, sealed=sealed))
        return len(found)

    def _changing(self, write: Future[Any]) -> Future[Any]:
        write.add_done_callback(self._changed)
        return write

    def _changed(self, write: Future[Any]) -> None:
        self._masks = {}


def is_name(text: str) -> bool:
    """Tell whether a text can be the name of a secret."""
    return len(text) <= NAME_LENGTH and NAME.fullmatch(text) is not None


def _how_to_set(name: str) -> str:
    return f"Set it with `fabric-jobs secrets set {name}`." if is_name(name) else ""


def named_in(value: Any) -> Iterator[str]:
    """Yield the names of the secrets that the texts of a JSON value stand for."""
    if isinstance(value, str):
        if value.startswith(SECRET):
            yield value.removeprefix(SECRET)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from named_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from named_in(inner)


def _replaced(value: Any, value_of: Callable[[str], Any]) -> Any:
    if isinstance(value, str):
        return value_of(value.removeprefix(SECRET)) if value.startswith(SECRET) else value
    if isinstance(value, Mapping):
        return {key: _replaced(inner, value_of) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(inner, value_of) for inner in value]
    return value
