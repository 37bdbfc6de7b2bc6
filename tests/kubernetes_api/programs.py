"""What runs in the pods of the API server without a cluster: nothing but time, or processes of this machine."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests.kubernetes_api.cluster import NotStarted, Pod, Program
from tests.kubernetes_api.objects import Object

ORDER = "order.json"  # in the Secret of a pod that the runtime layer starts
SKILL = "fabric-jobs/skill"  # the annotation of a pod
PYTHON = "python3"


def timed(seconds: float, code: int = 0) -> Program:
    """Return a program that takes some seconds, unless it is asked to end."""

    async def program(pod: Pod) -> int:
        with suppress(TimeoutError):
            await asyncio.wait_for(pod.asked.wait(), seconds)
            return 128 + signal.SIGTERM
        return code

    return program


class Shipping:
    """A program that takes some seconds, and then sends its output to the gateway as the runtime layer does.

    `outputs` are the outputs of skills by their names; pods of those take no time. Pods without an order only end.
    """

    def __init__(self, seconds: float, outputs: Mapping[str, bytes] | None = None) -> None:
        self.sent = 0  # requests
        self.failed = 0  # those that the gateway answered with an error
        self._seconds = seconds
        self._outputs = outputs or {}
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, pod: Pod) -> int:
        """Run, and return an exit code."""
        skill = (pod.body["metadata"].get("annotations") or {}).get(SKILL, "")
        if skill not in self._outputs:
            await timed(self._seconds)(pod)
        order = _order(pod)
        if order is not None:
            await self._ship(order, self._outputs.get(skill, b"{}\n"))
        return 0

    async def _ship(self, order: dict[str, Any], output: bytes) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64))
        url = f"{order['gateway']}/px/internal/attempts/{order['attempt']}/output"
        headers = {"Authorization": f"Bearer {order['token']}"}
        for query, body in (("stream=stdout&offset=0", output), ("whole=true", b"")):
            async with self._session.post(f"{url}?{query}", data=body, headers=headers) as answer:
                await answer.read()
                self.sent += 1
                self.failed += answer.status >= 400

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def _order(pod: Pod) -> dict[str, Any] | None:
    for volume in pod.body["spec"].get("volumes") or ():
        if "secret" in volume:
            data = pod.get("secrets", volume["secret"]["secretName"]).get("data") or {}
            if ORDER in data:
                found: dict[str, Any] = json.loads(base64.b64decode(data[ORDER]))
                return found
    return None


class Processes:
    """Runs the first container of a pod as a process. Its volumes are directories: paths in its words and files lead there."""

    def __init__(self, *, without_python: tuple[str, ...] = ()) -> None:
        """Images whose names contain one of the words `without_python` have no Python."""
        self._without_python = without_python

    async def __call__(self, pod: Pod) -> int:
        """Run, and return an exit code; 128 + n for signal n."""
        root = Path(tempfile.mkdtemp(prefix="pod-"))
        try:
            return await self._run(pod, root)
        finally:
            shutil.rmtree(root, ignore_errors=True)

    async def _run(self, pod: Pod, root: Path) -> int:
        container = pod.body["spec"]["containers"][0]
        places = _mount(pod, container, root)
        variables = _variables(pod, container)
        words = [_expanded(word, variables) for word in (*container.get("command", ()), *container.get("args", ()))]
        words = [_moved(word, places) for word in words]
        if not words:
            raise NotStarted("no command specified")
        if words[0] == PYTHON:
            if any(word in container["image"] for word in self._without_python):
                raise NotStarted(f'exec: "{PYTHON}": executable file not found in $PATH')
            words[0] = sys.executable
        environment = {key: _moved(value, places) for key, value in variables.items()}
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={"PATH": os.environ["PATH"], **environment},
                cwd=_moved(container.get("workingDir", str(root)), places),
                start_new_session=True,
            )
        except OSError as error:
            raise NotStarted(f'exec: "{words[0]}": {error.strerror}') from error
        return await _end_of(process, pod)


async def _end_of(process: asyncio.subprocess.Process, pod: Pod) -> int:
    """Keep what a process prints, ask it to end when its pod is, and kill all of it at the end."""
    assert process.stdout is not None
    copying = asyncio.ensure_future(_copy(process.stdout, pod))
    asking = asyncio.ensure_future(_ask(process, pod))
    try:
        code = await process.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        asking.cancel()
    await copying
    return code if code >= 0 else 128 - code


async def _ask(process: asyncio.subprocess.Process, pod: Pod) -> None:
    await pod.asked.wait()
    with suppress(ProcessLookupError):
        process.terminate()
    await pod.killed.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def _copy(stream: asyncio.StreamReader, pod: Pod) -> None:
    while part := await stream.read(1 << 16):
        pod.log += part


def _mount(pod: Pod, container: Object, root: Path) -> list[tuple[str, str]]:
    """Fill the volumes of a pod; return path inside and directory of each mount, longest path first."""
    volumes = {volume["name"]: volume for volume in pod.body["spec"].get("volumes") or ()}
    places: dict[str, str] = {}
    for mount in container.get("volumeMounts") or ():
        volume = volumes[mount["name"]]
        held = volume.get("hostPath", {}).get("path") or str(root / mount["name"])
        Path(held).mkdir(parents=True, exist_ok=True)
        places[mount["mountPath"]] = held
    ordered = sorted(places.items(), key=lambda place: -len(place[0]))
    for mount in container.get("volumeMounts") or ():
        for name, content in _contents(pod, volumes[mount["name"]]).items():
            path = Path(places[mount["mountPath"]], name)
            path.write_bytes(_moved(content.decode(), ordered).encode() if name == ORDER else content)
    return ordered


def _contents(pod: Pod, volume: Object) -> dict[str, bytes]:
    """Return the files of a Secret or a ConfigMap; none for other volumes."""
    if "secret" in volume:
        said = volume["secret"]
        found = pod.get("secrets", said["secretName"])
    elif "configMap" in volume:
        said = volume["configMap"]
        found = pod.get("configmaps", said["name"])
    else:
        return {}
    encoded = {**(found.get("binaryData") or {}), **((found.get("data") or {}) if "secret" in volume else {})}
    files = {key: base64.b64decode(text) for key, text in encoded.items()}
    if "configMap" in volume:
        files |= {key: text.encode() for key, text in (found.get("data") or {}).items()}
    if "items" in said:
        return {item["path"]: files[item["key"]] for item in said["items"]}
    return files


def _variables(pod: Pod, container: Object) -> dict[str, str]:
    found: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        data = pod.get("secrets", source["secretRef"]["name"]).get("data") or {}
        found |= {key: base64.b64decode(text).decode() for key, text in data.items() if key.isidentifier()}
    for each in container.get("env") or ():
        found[each["name"]] = _expanded(str(each.get("value", "")), found)
    return found


def _expanded(word: str, variables: dict[str, str]) -> str:
    """Replace `$(NAME)` as Kubernetes does; `$$` is a dollar."""
    found = re.compile(r"\$\$|\$\((\w+)\)")
    return found.sub(lambda part: "$" if part[0] == "$$" else variables.get(part[1], part[0]), word)


def _moved(text: str, places: list[tuple[str, str]]) -> str:
    for inside, held in places:
        text = text.replace(inside, held)
    return text
