"""Describes the container of an attempt for the engine's API. Pure, except that it checks which directory is at a path."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fabric_jobs.docker.images import Image
from fabric_jobs.executors import archives, proxies, shell_form
from fabric_jobs.executors.base import AttemptSpec, Health, Limits, ProcessSpec
from fabric_jobs.executors.docker import mounts
from fabric_jobs.executors.docker.members import Beside
from fabric_jobs.executors.program import RUNTIME
from fabric_jobs.state_dir import records_dir

ATTEMPT, OWNER = "fabric-jobs.attempt", "fabric-jobs.owner"  # labels by which containers are found again

# Paths in a container.
RUNTIME_INSIDE = "/opt/fabric-jobs/runtime"
FILES_INSIDE = "/run/fabric-jobs/files"
PROJECT_INSIDE = "/run/fabric-jobs/project"
DOOR_INSIDE = "/run/fabric-jobs/door"
RECORDS_INSIDE = "/run/fabric-jobs/records"
NANOSECONDS = 1e9  # in a second
LEAST_SECONDS = 0.1  # of a period; 0 would mean the engine's default
LOOPBACK = "127.0.0.1"
HOME_INSIDE = "/tmp"  # of a user unknown to the image

WORKSPACE = "FABRIC_JOBS_WORKSPACE"
ROOT = ("", "0", "root")
# Outside a mesh, scuttle must not wait, and must print nothing (docs/reference/compatibility.md#scuttle).
VARIABLES = {"PYTHONUNBUFFERED": "1", "START_WITHOUT_ENVOY": "true", "SCUTTLE_LOGGING": "false"}
# After a restart the log is read from the first byte, so it must never be truncated. The driver `local` keeps bytes as they
# are; `json-file` would replace anything but UTF-8.
LOG = {"Type": "local", "Config": {"max-size": "1000t", "max-file": "1", "compress": "false"}}


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the containers of an executor have in common."""

    owner: str
    network: str
    uid: int  # of this process, and of programs whose image names no user
    gid: int
    state: Path  # the owner's state directory, hidden from programs
    door: Path | None  # the directory of the gateway's socket; None if the engine cannot see it
    shares_files: bool  # whether the engine sees this machine's directories
    reaches_network: bool  # whether this machine reaches the containers' network
    hosts: tuple[str, ...] = ()  # NAME:ADDRESS


def container(
    spec: AttemptSpec, image: Image, files: Path, around: Surroundings, beside: Beside | None = None
) -> dict[str, Any]:
    """Return the configuration of a container of an attempt; `files` is the directory of its files.

    Its program is the first one of `spec`; `beside` is what it has in common with other containers.
    """
    process = spec.processes[0]
    words = program(process, image)
    user = user_of(image, around)
    joins = beside is not None and bool(beside.network)
    environment = {**VARIABLES, **process.environment} if joins else variables(process, image)
    if user and "HOME" not in environment:
        environment["HOME"] = HOME_INSIDE
    config: dict[str, Any] = {
        "Image": process.image,
        "Entrypoint": [words[0]],
        "Cmd": list(words[1:]),
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Labels": {ATTEMPT: spec.name, OWNER: around.owner},
        "HostConfig": _host_config(spec, image, files, around),
    }
    if beside is not None:
        _join(config["HostConfig"], beside, around)
    if user:
        config["User"] = user
    if process.health is not None:
        config["Healthcheck"] = _health(process.health)
    if process.port:
        config["ExposedPorts"] = {f"{process.port}/tcp": {}}
    if process.is_project:
        config["WorkingDir"] = PROJECT_INSIDE
    return config


def program(process: ProcessSpec, image: Image) -> tuple[str, ...]:
    """Return the command line: `command`, else the image's ENTRYPOINT and CMD, then the arguments. Empty if there is no program."""
    if process.command:
        return (*process.command, *process.arguments)
    is_shell = shell_form.text_at(image.entrypoint) == len(image.entrypoint) - 1
    words = image.entrypoint if is_shell else (*image.entrypoint, *image.command)
    return shell_form.with_arguments(words, process.arguments) if words else ()  # a message is not a program


def variables(process: ProcessSpec, image: Image) -> dict[str, str]:
    """Return the variables of the program. The engine adds those of the image."""
    own = {**VARIABLES, **process.environment}
    if process.port:
        own["PORT"] = str(process.port)
    if own.get(WORKSPACE):
        own[WORKSPACE] = mounts.workspace_inside(process, image)
    own |= proxies.direct({**image.environment, **own}, process.gateway)
    paths = (RUNTIME_INSIDE, process.environment.get("PYTHONPATH") or image.environment.get("PYTHONPATH", ""))
    return {**own, "PYTHONPATH": ":".join(filter(None, paths))}


def user_of(image: Image, around: Surroundings) -> str:
    """Return this process's user in place of an image's root, unless this process is root itself; else empty: the image's user."""
    if image.user.partition(":")[0] not in ROOT or around.uid == 0:
        return ""
    return f"{around.uid}:{around.gid}"


def _host_config(spec: AttemptSpec, image: Image, files: Path, around: Surroundings) -> dict[str, Any]:
    process = spec.processes[0]
    config: dict[str, Any] = {
        "NetworkMode": around.network,
        "Init": True,  # an init that forwards signals and reaps orphans
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "LogConfig": LOG,
        "ExtraHosts": [*around.hosts, *(f"{name}:{LOOPBACK}" for name in spec.hosts)],
        **_limits(process.limits),
    }
    if spec.hosts:
        config["Sysctls"] = {"net.ipv4.ip_unprivileged_port_start": "0"}  # the ports of those names may be low
    if around.shares_files:
        config["Mounts"] = _mounts(spec, image, files, around)
    if process.port and not around.reaches_network:
        config["PortBindings"] = {f"{process.port}/tcp": [{"HostIp": _listening(around), "HostPort": ""}]}
    return config


def _join(host: dict[str, Any], beside: Beside, around: Surroundings) -> None:
    """Add what a container has in common with the others of its attempt."""
    if beside.network:
        host |= {"NetworkMode": f"container:{beside.network}", "Mounts": []}
        for key in ("ExtraHosts", "Sysctls"):  # those of the network
            host.pop(key, None)
    labels = {ATTEMPT: beside.attempt, OWNER: around.owner}
    found = [
        {"Type": "volume", "Source": name, "Target": path, "VolumeOptions": {"NoCopy": True, "Labels": labels}}
        for path, name in beside.volumes.items()
    ]
    host["Mounts"] = [*host.get("Mounts", ()), *found]


def _listening(around: Surroundings) -> str:
    return LOOPBACK if around.shares_files else ""


def _mounts(spec: AttemptSpec, image: Image, files: Path, around: Surroundings) -> list[dict[str, Any]]:
    process = spec.processes[0]
    found = [mounts.bind(RUNTIME, RUNTIME_INSIDE)]
    if spec.files:
        found.append(mounts.bind(files, FILES_INSIDE))
    if process.is_project and process.directory is not None:
        found.append(mounts.bind(process.directory, PROJECT_INSIDE))
    if around.door is not None:
        found.append(mounts.bind(around.door, DOOR_INSIDE))
    for name, writes in spec.records:
        source = records_dir(around.state) / name
        found.append(mounts.bind(source, f"{RECORDS_INSIDE}/{name}", read_only=not writes))
    return found + mounts.workspace_mounts(process.workspace, mounts.workspace_inside(process, image), around.state)


def _limits(limits: Limits) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if limits.cpu:
        config["NanoCpus"] = round(limits.cpu * NANOSECONDS)
    if limits.memory:
        config |= {"Memory": limits.memory, "MemorySwap": limits.memory}  # no extra swap
    if limits.shm:
        config["ShmSize"] = limits.shm
    if limits.gpu:
        config["DeviceRequests"] = [{"Count": limits.gpu, "Capabilities": [["gpu"]]}]
    return config


def _health(health: Health) -> dict[str, Any]:
    return {
        "Test": ["CMD", *health.command],
        "StartPeriod": round(health.delay * NANOSECONDS),
        "Interval": round(max(health.period, LEAST_SECONDS) * NANOSECONDS),
        "Timeout": round(max(health.timeout, LEAST_SECONDS) * NANOSECONDS),
        "Retries": max(1, health.failures),
    }


def archive(files: Mapping[str, bytes], project: Path | None = None) -> bytes:
    """Return the runtime layer, an attempt's files and its project as a tar archive, for an engine that does not see this disk."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in sorted(RUNTIME.rglob("*.py")):
            _add(tar, f"{RUNTIME_INSIDE}/{path.relative_to(RUNTIME)}", path.read_bytes())
        for name, content in files.items():
            _add(tar, f"{FILES_INSIDE}/{name}", content)
        if project is not None:
            archives.add_directory(tar, project, PROJECT_INSIDE.lstrip("/"))
    return packed.getvalue()


def shared_archive(directories: Sequence[str], placed: Mapping[str, bytes]) -> bytes:
    """Return a tar archive with directories that every user may write in, and with files in them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        above = {str(parent) for path in placed for parent in PurePosixPath(path).parents}
        inner = (path for path in sorted(above) if path.startswith(tuple(f"{each}/" for each in directories)))
        for path in (*directories, *inner):
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(entry)
        for path, content in placed.items():
            _add(tar, path, content)
    return packed.getvalue()


def _add(tar: tarfile.TarFile, path: str, content: bytes) -> None:
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.size, entry.mode = len(content), 0o644
    tar.addfile(entry, io.BytesIO(content))
