"""What an author writes for Cortex Labs: Batch and Task APIs, as values (docs/reference/api-yaml.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

BATCH = "BatchAPI"
TASK = "TaskAPI"


class Probe(NamedTuple):
    """How a container is asked whether it is ready, or alive."""

    kind: str  # http_get | tcp_socket | exec
    port: int = 0
    path: str = "/"  # of http_get
    command: tuple[str, ...] = ()  # of exec
    initial_delay_seconds: int = 0
    timeout_seconds: int = 1
    period_seconds: int = 10
    success_threshold: int = 1
    failure_threshold: int = 3


class Compute(NamedTuple):
    """What a container may use, in the spelling of Kubernetes; empty is no limit."""

    cpu: str = "200m"
    mem: str = ""
    gpu: int = 0
    inf: int = 0
    shm: str = ""  # size of /dev/shm


class ApiContainer(NamedTuple):
    """One container of a worker."""

    name: str
    image: str
    command: tuple[str, ...] = ()  # not run in a shell
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    compute: Compute = Compute()
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None


class ApiCode(NamedTuple):
    """A class `Handler` or `Task` in a file of the project."""

    path: str  # relative to the project; .py or .pickle
    config: Mapping[str, Any] = {}  # that of a job is merged into it
    python_path: str = ""  # relative to the project; empty: the project
    image: str = ""  # empty: the default one
    env: Mapping[str, str] = {}
    log_level: str = "info"  # debug | info | warning | error
    shm_size: str = ""
    pip: str = "requirements.txt"
    conda: str = "conda-packages.txt"
    shell: str = "dependencies.sh"
    warm: tuple[str, ...] | None = None  # modules that warm starts import ahead; None: it starts cold


class Api(NamedTuple):
    """One API of an API file: its workers are containers, or instances of a class."""

    name: str
    kind: str  # BatchAPI | TaskAPI
    endpoint: str  # begins with a slash
    containers: tuple[ApiContainer, ...] = ()
    code: ApiCode | None = None  # None: there are containers
    port: int = 8080  # of a Batch API: where one of the containers listens
    max_concurrency: int = 1  # of a Batch API: batches that a worker handles at a time
    compute: Compute = Compute()  # of the class; containers have their own
    node_groups: tuple[str, ...] = ()

    @property
    def is_batch(self) -> bool:
        """Whether its jobs have items."""
        return self.kind == BATCH
