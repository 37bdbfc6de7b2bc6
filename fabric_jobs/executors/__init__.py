"""The executors, which run attempts. Choosing one is a dict lookup."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from fabric_jobs.executors.base import Doors, Executor
from fabric_jobs.executors.local import LocalExecutor


def _docker(root: Path, doors: Doors | None) -> Executor:
    from fabric_jobs.executors.docker import DockerExecutor  # late: the docker library is slow to import

    return DockerExecutor(root, doors)


def _kubernetes(root: Path, doors: Doors | None) -> Executor:
    from fabric_jobs.executors.kubernetes import KubernetesExecutor  # late: few owners use a cluster

    return KubernetesExecutor(root, doors)


EXECUTORS: dict[str, Callable[[Path, Doors | None], Executor]] = {
    "local": LocalExecutor,
    "docker": _docker,
    "kubernetes": _kubernetes,
}


class Executors(Mapping[str, Executor]):
    """The executors of an owner, each made when it is first looked up."""

    def __init__(self, root: Path, doors: Doors) -> None:
        """Keep the files of attempts under `root`."""
        self._root = root
        self._doors = doors
        self._made: dict[str, Executor] = {}
        self._making = threading.Lock()

    def __getitem__(self, name: str) -> Executor:
        """Return the executor of that name. Raise KeyError for an unknown one."""
        with self._making:
            if name not in self._made:
                self._made[name] = EXECUTORS[name](self._root, self._doors)
            return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in EXECUTORS

    def __iter__(self) -> Iterator[str]:
        return iter(EXECUTORS)

    def __len__(self) -> int:
        return len(EXECUTORS)
