"""Our words for what a cluster answers, and for what keeps it from answering."""

from __future__ import annotations

import json
import os
from typing import Any

from fabric_jobs.errors import ExecutorUnavailable, InvalidInput

CONTEXTS = "Choose another cluster with KUBECONFIG or FABRIC_JOBS_KUBERNETES_CONTEXT; `kubectl config get-contexts` lists them."
LOGIN = "Log in again, so that the file that KUBECONFIG names has a valid token."
TRUST = "Correct the certificate authority of this cluster in the file that KUBECONFIG names: download the file again."
RIGHTS = "Grant it, for example with the Role in deploy/kubernetes; `fabric-jobs doctor` lists what is missing."
NAMESPACE = "Create the namespace, or choose another one with FABRIC_JOBS_KUBERNETES_NAMESPACE."


class Missing(Exception):
    """The object does not exist (any more), or the part of a watch's history that was asked for."""


class Conflict(Exception):
    """An object of that name exists already, or has changed meanwhile."""


class Rejected(InvalidInput):
    """The cluster rejects an object, in its own words; the same one would be rejected again."""


class QuotaFull(ExecutorUnavailable):
    """The namespace's quota has no room at the moment, in the cluster's own words."""


class RightMissing(ExecutorUnavailable):
    """The user of the cluster lacks a right, which is named."""


def failure(status: int, body: bytes) -> Exception:
    """Return the exception that an answer of a cluster other than a success stands for."""
    said = _said(body)
    words = (
        str(said.get("message") or body.decode(errors="replace")[:300] or f"HTTP status {status}").strip().rstrip(".")
    )
    reason = str(said.get("reason", ""))
    if status == 404 and _is_namespace(said):
        return Rejected(
            f"the cluster says: {words}.",
            hint="Create the namespace, or choose one with FABRIC_JOBS_KUBERNETES_NAMESPACE.",
        )
    if status in (404, 410):
        return Missing(words)
    if status == 409:
        return Conflict(words)
    if status == 401:
        return ExecutorUnavailable(f"the cluster does not accept this user: {words}.", hint=LOGIN)
    if status == 403:
        return _forbidden(words, said)
    if status == 429 or status >= 500 or reason in ("Timeout", "ServerTimeout"):
        return ExecutorUnavailable(f"the cluster reported an error: {words}.")
    return Rejected(f"the cluster says: {words}.")


def silence(url: str, error: BaseException) -> ExecutorUnavailable:
    """Return the error for a cluster that gave no answer, by an exception of the network."""
    certificate = getattr(error, "certificate_error", None)
    if certificate is not None:
        why = getattr(certificate, "verify_message", "") or str(certificate)
        return ExecutorUnavailable(f"the cluster at {url} shows a certificate that is not trusted: {why}.", hint=TRUST)
    cause = getattr(error, "os_error", error)
    number = getattr(cause, "errno", None)
    if isinstance(cause, TimeoutError):
        words = "it took too long"
    elif isinstance(number, int) and number > 0:
        words = os.strerror(number)
    else:
        words = str(getattr(cause, "strerror", "") or cause) or type(cause).__name__
    return ExecutorUnavailable(f"the cluster at {url} does not answer: {words.rstrip('.')}.", hint=CONTEXTS)


def strange(url: str) -> ExecutorUnavailable:
    """Return the error for a server that answers, but not as the API of a cluster does."""
    return ExecutorUnavailable(f"the server at {url} is not a Kubernetes API.", hint=CONTEXTS)


def _forbidden(words: str, said: dict[str, Any]) -> Exception:
    causes = {cause.get("reason") for cause in (said.get("details") or {}).get("causes") or ()}
    if "NamespaceTerminating" in causes or "is being terminated" in words:
        return Rejected(f"the cluster says: {words}.", hint="Wait until the namespace is gone, and create it again.")
    if "exceeded quota" in words:
        return QuotaFull(
            f"the cluster says: {words}.", hint="It starts when other programs of the namespace have ended."
        )
    if words.startswith("User ") or " cannot " in words:  # what the authorizer says; admission says other things
        named = words if ": User " not in words else words.partition(": ")[2]
        return RightMissing(f"a right is missing: {named}.", hint=RIGHTS)
    return Rejected(f"the cluster says: {words}.")


def _is_namespace(said: dict[str, Any]) -> bool:
    return (said.get("details") or {}).get("kind") == "namespaces"


def _said(body: bytes) -> dict[str, Any]:
    """Return the `Status` of an answer; empty when it is none, such as a proxy's page."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
