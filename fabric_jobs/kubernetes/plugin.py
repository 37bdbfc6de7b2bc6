"""Runs the login program that a kubeconfig names (`users[].user.exec`), which gives a token or a certificate for a while."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.kubernetes.failures import LOGIN

SECONDS = 60.0  # some of them wait for a person in a browser
SHOWN = 300  # characters of what it has printed


class Credential(NamedTuple):
    """What a login program gives: a token, or a certificate with its key."""

    token: str
    certificate: str  # PEM; empty with a token
    key: str  # PEM
    expires_at: float  # seconds since 1970; infinity: unknown


async def credential(wanted: Mapping[str, Any], directory: str) -> Credential:
    """Run a login program and return what it gives. Raise ExecutorUnavailable if it fails, hangs, or gives something else.

    `directory` is that of the kubeconfig, in which a path such as `./login` begins.
    """
    command = str(wanted.get("command") or "")
    if not command:
        raise ExecutorUnavailable("the login program of the cluster has no 'command' in the kubeconfig.", hint=LOGIN)
    try:
        said = await _run(_path(command, directory), wanted)
    except TimeoutError as error:
        raise ExecutorUnavailable(
            f"the login program of the cluster, '{command}', did not end in {SECONDS:.0f} seconds.", hint=LOGIN
        ) from error
    except OSError as error:
        hint = str(wanted.get("installHint") or "").strip() or f"Install {command}, or correct the kubeconfig."
        raise ExecutorUnavailable(
            f"the login program of the cluster, '{command}', cannot be started: {error.strerror}.", hint=hint
        ) from error
    return _read(said, command)


async def _run(path: str, wanted: Mapping[str, Any]) -> bytes:
    """Return what the program prints. Raise OSError, TimeoutError, or ExecutorUnavailable for an exit code other than 0."""
    info = {
        "apiVersion": wanted.get("apiVersion"),
        "kind": "ExecCredential",
        "spec": {"interactive": False},
    }
    named = {str(each["name"]): str(each["value"]) for each in wanted.get("env") or ()}
    process = await asyncio.create_subprocess_exec(
        path,
        *(str(word) for word in wanted.get("args") or ()),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **named, "KUBERNETES_EXEC_INFO": json.dumps(info)},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(SECONDS):
            stdout, stderr = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and what it has started
        await process.wait()
    if process.returncode:
        words = " ".join(stderr.decode(errors="replace").split())[-SHOWN:] or f"exit code {process.returncode}"
        raise ExecutorUnavailable(
            f"the login program of the cluster, '{wanted['command']}', fails: {words.rstrip('.')}.", hint=LOGIN
        )
    return stdout


def _read(said: bytes, command: str) -> Credential:
    try:
        status = json.loads(said)["status"]
        token = str(status.get("token") or "")
        certificate, key = (str(status.get(name) or "") for name in ("clientCertificateData", "clientKeyData"))
        expiry = status.get("expirationTimestamp")
        expires_at = datetime.fromisoformat(str(expiry).replace("Z", "+00:00")).timestamp() if expiry else math.inf
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExecutorUnavailable(
            f"the login program of the cluster, '{command}', does not print an ExecCredential.", hint=LOGIN
        ) from error
    if not token and not (certificate and key):
        raise ExecutorUnavailable(
            f"the login program of the cluster, '{command}', gives neither a token nor a certificate.", hint=LOGIN
        )
    return Credential(token, certificate, key, expires_at)


def _path(command: str, directory: str) -> str:
    """Return the program: like kubectl, look for a path beside the kubeconfig, and for a name in PATH."""
    return str(Path(directory) / command) if "/" in command else command
