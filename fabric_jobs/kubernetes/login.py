"""Finds the cluster and logs in: by the pod that this is, or by a kubeconfig and one of its contexts."""

from __future__ import annotations

import base64
import math
import os
import time
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.kubernetes import plugin
from fabric_jobs.kubernetes.failures import CONTEXTS

IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
USUAL = "~/.kube/config"
CHOOSE = "Choose one with FABRIC_JOBS_KUBERNETES_CONTEXT."
INSTALL = "Install it: pip install 'fabric-jobs[kubernetes]'"
EARLY_SECONDS = 60.0  # before a token expires, a new one is asked for


class Login(NamedTuple):
    """A way into a cluster."""

    configuration: Any  # of the library; has the token
    namespace: str  # of the context
    renew_at: float  # seconds since 1970, from when on it should be loaded again; infinity: never

    @property
    def way(self) -> tuple[Any, ...]:
        """What connections depend on, with the files as they are now: others need new ones."""
        files = tuple(getattr(self.configuration, name) for name in ("ssl_ca_cert", "cert_file", "key_file"))
        names = ("host", "verify_ssl", "tls_server_name", "proxy")
        return (*files, *map(_stamp, files), *(getattr(self.configuration, name) for name in names))


def is_configured() -> bool:
    """Return whether there is a pod's service account or a kubeconfig, without reading it."""
    return is_pod() or any(os.path.isfile(path) for path in _files())


async def load(context: str) -> Login:
    """Log in, as the pod that this is or as the user of a context. Raise ExecutorUnavailable, which says what to do."""
    config = library()
    configuration: Any = import_module("kubernetes.aio.client.configuration").Configuration()
    broken = (config.ConfigException, config.kube_config.yaml.YAMLError, ValueError, KeyError, TypeError)
    try:
        if is_inside(context):
            loader = config.incluster_config.InClusterConfigLoader(
                token_filename=str(IN_CLUSTER / "token"), cert_filename=str(IN_CLUSTER / "ca.crt")
            )
            loader.load_and_set(configuration)  # which reads the token again every minute
            return Login(configuration, (IN_CLUSTER / "namespace").read_text().strip(), math.inf)
        return await _of_file(config.kube_config, configuration, context)
    except (*broken, AttributeError) as error:
        words = " ".join(str(error).split()).rstrip(".")
        raise ExecutorUnavailable(f"the file {_shown()} cannot be used: {words}.", hint=CONTEXTS) from error
    except OSError as error:
        what = f"{error.filename or _shown()} cannot be read: {error.strerror}"
        raise ExecutorUnavailable(f"the cluster cannot be found: {what}.", hint=CONTEXTS) from error


def library() -> Any:
    """Return the part of the library that reads kubeconfigs. Raise ExecutorUnavailable if it is not installed."""
    try:
        return import_module("kubernetes.aio.config")
    except ModuleNotFoundError as error:
        raise ExecutorUnavailable(
            f"the library 'kubernetes' is not installed (there is no module '{error.name}').", hint=INSTALL
        ) from error


async def _of_file(kube_config: Any, configuration: Any, context: str) -> Login:
    if not any(os.path.isfile(path) for path in _files()):
        raise ExecutorUnavailable(f"no cluster is configured: there is no file {_shown()}.", hint=CONTEXTS)
    merged = kube_config.KubeConfigMerger(":".join(_files())).config
    loader = kube_config.KubeConfigLoader(
        config_dict=merged, config_base_path=None, active_context=_chosen(merged.value, context)
    )
    renew_at = await _run_plugin(loader)
    await loader.load_and_set(configuration)
    if not loader._cluster.safe_get("server"):
        raise ValueError("its cluster has no 'server'")
    chosen = loader.current_context.get("context") or {}
    return Login(configuration, str(chosen.get("namespace") or "default"), renew_at)


def _chosen(config: dict[str, Any], context: str) -> str:
    """Return the context to use. Raise ExecutorUnavailable if there is none such."""
    names = [str(each["name"]) for each in config.get("contexts") or ()]
    wanted = context or str(config.get("current-context") or "")
    if not names:
        raise ExecutorUnavailable(f"the file {_shown()} has no contexts.", hint=CONTEXTS)
    if not wanted:
        raise ExecutorUnavailable(
            f"the file {_shown()} says no current context; it has {', '.join(sorted(names))}.", hint=CHOOSE
        )
    if wanted not in names:
        raise ExecutorUnavailable(
            f"the file {_shown()} has no context '{wanted}'; it has {', '.join(sorted(names))}.", hint=CHOOSE
        )
    return wanted


async def _run_plugin(loader: Any) -> float:
    """Put what a login program gives in its place; return when to run it again. The library would only log its failure."""
    user = loader._user
    if not user or "exec" not in user:
        return math.inf
    wanted = user.value.pop("exec")
    directory = os.path.dirname(os.path.abspath(str(user.path or _files()[0])))
    found = await plugin.credential(wanted, directory)
    if found.token:
        user.value["token"] = found.token
    if found.certificate:
        for key, text in (("client-certificate-data", found.certificate), ("client-key-data", found.key)):
            user.value[key] = base64.b64encode(text.encode()).decode()
    return max(found.expires_at - EARLY_SECONDS, time.time() + 1.0)


def is_inside(context: str) -> bool:
    """Return whether this is a pod of the cluster that is used: a context, or a kubeconfig, would win."""
    return not context and is_pod()


def is_pod() -> bool:
    """Return whether this is a pod, and no kubeconfig is named."""
    return "KUBECONFIG" not in os.environ and (IN_CLUSTER / "token").exists()


def _files() -> list[str]:
    named = os.environ.get("KUBECONFIG") or USUAL
    return [os.path.expanduser(path) for path in named.split(os.pathsep) if path]


def _stamp(path: str | None) -> tuple[int, ...]:
    """Return what changes when a file is replaced or written again; nothing for one that is not there."""
    try:
        found = os.stat(path) if path else None
    except OSError:
        found = None
    return (found.st_ino, found.st_size, found.st_mtime_ns) if found is not None else ()


def _shown() -> str:
    return os.pathsep.join(_files())
