"""Finds the cluster and logs in: by the pod that this is, or by a kubeconfig and one of its contexts."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.kubernetes.failures import CONTEXTS, LOGIN

IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount")


async def load(configuration: Any, context: str) -> str:
    """Fill in a configuration, of the pod that this is or of a context; return its namespace. Raise ExecutorUnavailable."""
    config: Any = import_module("kubernetes.aio.config")  # its functions have no types

    file = os.path.expanduser(os.environ.get("KUBECONFIG") or "~/.kube/config")
    try:
        if not context and "KUBECONFIG" not in os.environ and (IN_CLUSTER / "token").exists():
            config.load_incluster_config(client_configuration=configuration)
            return (IN_CLUSTER / "namespace").read_text().strip()
        loader = await config.load_kube_config(
            config_file=file, context=context or None, client_configuration=configuration, persist_config=False
        )
        await _check_plugin(loader)
        chosen = loader.current_context.get("context") or {}
        return str(chosen.get("namespace") or "default")
    except config.ConfigException as error:
        raise ExecutorUnavailable(f"the cluster cannot be found: {str(error).rstrip('.')}.", hint=CONTEXTS) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExecutorUnavailable(f"the file {file} cannot be used: {error}.", hint=CONTEXTS) from error


async def _check_plugin(loader: Any) -> None:
    """Raise ExecutorUnavailable when the program that gives the token fails: the library only logs that."""
    config: Any = import_module("kubernetes.aio.config")
    provider: Any = import_module("kubernetes.aio.config.exec_provider")
    user = loader._user
    if not user or "exec" not in user or getattr(loader, "token", None) or getattr(loader, "cert_file", None):
        return
    try:
        await provider.ExecProvider(user["exec"]).run()
    except (config.ConfigException, OSError) as error:
        raise ExecutorUnavailable(
            f"the login program of the cluster fails: {str(error).rstrip('.')}.", hint=LOGIN
        ) from error
