"""A workspace whose skills run as pods of a cluster, from the image that FABRIC_JOBS_TEST_BASE_IMAGE names."""

from __future__ import annotations

import json
import signal
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.live import PRELUDE, Live
from tests.kubernetes_place import BASE_IMAGE, KUBECONFIG, a_namespace, found, kubectl

OURS = "app.kubernetes.io/managed-by=fabric-jobs,fabric-jobs/attempt"  # without the probes of the way to the gateway
KINDS = "deployments,replicasets,services,jobs,pods,secrets"


class KubernetesLive(Live):
    """Skills whose programs are in their definition, or in a directory of the node, which is this machine: nothing is built."""

    gateway_inside = "http://1"  # an address of this machine
    end = signal.SIGTERM
    brief_seconds = 8.0

    def __init__(self, root: Path, namespace: str) -> None:
        super().__init__(root)
        self.namespace = namespace
        self.environment |= {
            "KUBECONFIG": KUBECONFIG,
            "FABRIC_JOBS_EXECUTOR": "kubernetes",
            "FABRIC_JOBS_KUBERNETES_NAMESPACE": namespace,
            "FABRIC_JOBS_IDLE_SECONDS": "60",
        }

    def shared(self, name: str, program: str, **action: Any) -> None:
        """Write a skill of one job. It sees the workspace as ROOT: the node of the cluster is this machine."""
        prelude = f"""\
            import json, os, sys, time
            from pathlib import Path
            from fabric_skill import message, messages, send_message
            ROOT = Path({str(self.root)!r})
            ATTEMPT = os.environ["FABRIC_JOBS_ATTEMPT"]
        """
        text = textwrap.dedent(prelude) + textwrap.dedent(program)
        path = str(self.root)
        adds = [
            {"path": "/volumes/-", "value": {"name": "workspace", "hostPath": {"path": path}}},
            {"path": "/containers/0/volumeMounts/-", "value": {"name": "workspace", "mountPath": path}},
        ]
        self.inline(name, text, **{"type": "job", "podSpec": adds, **action})

    def skill(self, name: str, program: str, *, prelude: str = PRELUDE, **options: Any) -> None:
        """Write a skill whose program is in a directory that pods see at the same path, with the whole workspace."""
        told = prelude.replace('os.environ["FABRIC_JOBS_WORKSPACE"]', repr(str(self.root)))
        short = name.rpartition("/")[2]
        programs = self.root / "programs" / name
        programs.mkdir(parents=True, exist_ok=True)
        workspace = {"name": "workspace", "hostPath": {"path": str(self.root)}}
        adds = [
            {"path": "/volumes/-", "value": workspace},
            {"path": "/containers/0/volumeMounts/-", "value": {"name": "workspace", "mountPath": str(self.root)}},
            {"path": "/containers/0/workingDir", "value": str(programs)},
        ]
        super().skill(name, program, prelude=told, **{"image": BASE_IMAGE, "podSpec": adds, **options})
        for path in (self.root / "skills" / name / "actions" / short).iterdir():
            path.replace(programs / path.name)
        (self.root / "skills" / name / "actions" / short).rmdir()  # so that no image is looked for

    def inline(self, name: str, program: str, *, runtime: str = "cortex/jobs", **action: Any) -> None:
        """Write a skill whose program is an argument of Python."""
        directory = self.root / "skills" / name
        directory.mkdir(parents=True, exist_ok=True)
        target = {"action": name, "runtime": runtime, "output": "response"}
        given = {"name": name, "image": BASE_IMAGE, "command": ["python3", "-c", program]}
        document = {
            "camel": "1.0.0",
            "name": name,
            "inputs": [{"name": "request", "routing": {"all": target}}],
            "outputs": [{"name": "response"}],
            "actions": [{**given, **action}],
        }
        (directory / "skill.yaml").write_text(json.dumps(document))

    def objects(self, kinds: str) -> list[dict[str, Any]]:
        """Return what of one or more kinds there is of this workspace in the cluster."""
        return found(kinds, self.namespace, OURS)

    def names(self, kinds: str) -> list[str]:
        """Return the names of what of one or more kinds there is."""
        return [each["metadata"]["name"] for each in self.objects(kinds)]

    def left(self) -> list[str]:
        """Return the names of all that there is of this workspace in the cluster."""
        return self.names(KINDS)

    def delete_pod(self, name: str, *words: str) -> None:
        """Delete a pod, as a person would by hand."""
        kubectl("delete", "pod", name, "--namespace", self.namespace, "--wait=false", *words)


@pytest.fixture(name="live")
def kubernetes_live(tmp_path: Path) -> Iterator[KubernetesLive]:
    """A workspace whose skills run in a namespace of their own."""
    with a_namespace() as namespace:
        made = KubernetesLive(tmp_path / "w", namespace)
        try:
            yield made
        finally:
            made.close()
