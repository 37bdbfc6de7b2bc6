"""The doctor and a cluster: whether pods reach this machine, tried by one."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

from fabric_jobs.executors.kubernetes import proof
from fabric_jobs.executors.kubernetes.around import around
from tests.executors.test_kubernetes_route import NOBODY, asked
from tests.kubernetes.live import KubernetesLive
from tests.kubernetes_place import BASE_IMAGE, kubectl, needs_cluster, until
from tests.kubernetes_place import namespace as namespace

pytestmark = needs_cluster


def found(live: KubernetesLive, image: str, code: int = 0) -> dict[str, str]:
    """Return what the doctor says of the way from a pod of an image: level by message."""
    ran = live.run("doctor", "--pod-image", image, "--output", "json", FABRIC_JOBS_EXECUTOR="local")
    assert ran.code == code, ran
    return {each["message"]: each["level"] for each in json.loads(ran.out) if each["check"] == "kubernetes"}


def levels(found: dict[str, str], beginning: str) -> list[str]:
    """Return the levels of the messages that begin so."""
    return [level for message, level in found.items() if message.startswith(beginning)]


def test_a_pod_tries_the_way_and_is_gone(live: KubernetesLive) -> None:
    assert levels(found(live, BASE_IMAGE), f"a pod of {BASE_IMAGE} reaches http://") == ["ok"]
    until(lambda: not live.names("jobs") and not live.names("pods"), "the pod is gone")


def test_a_pod_tries_the_port_of_the_running_gateway(live: KubernetesLive) -> None:
    live.ok("tasks", "list")  # starts one, which listens on 127.0.0.1 only
    port = urlsplit(json.loads((live.state / "owner.json").read_text())["url"]).port
    (said,) = [message for message in found(live, BASE_IMAGE) if " reaches " in message]
    assert said.endswith(f":{port}")
    live.inline("one", "print(1)")
    live.ok("skills", "invoke", "one", "--payload", "{}")  # now it listens where pods reach it
    (said,) = [message for message in found(live, BASE_IMAGE) if " reaches " in message]
    assert said.endswith(f":{port}")


def test_a_pod_tries_what_the_running_gateway_advertises(live: KubernetesLive) -> None:
    live.environment["FABRIC_JOBS_ADVERTISE"] = NOBODY
    live.ok("tasks", "list")
    del live.environment["FABRIC_JOBS_ADVERTISE"]
    text = f"cannot reach this gateway at {NOBODY}"
    assert [level for message, level in found(live, BASE_IMAGE, 5).items() if text in message] == ["problem"]


def test_an_image_that_cannot_try_it_is_a_problem(live: KubernetesLive) -> None:
    seen = found(live, "rig.local/busybox:1", 5)
    assert levels(seen, "No pod of rig.local/busybox:1 could try whether it reaches http://") == ["problem"]
    assert any('"python3": executable file not found' in message for message in seen)


def test_why_there_is_no_pod_is_said_in_the_clusters_words(namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "PATIENCE_SECONDS", 5.0)
    kubectl("create", "quota", "none", "--hard=pods=0", "--namespace", namespace)
    assert "exceeded quota: none" in asked(lambda cluster: proof.prove(cluster, BASE_IMAGE, around("doctor", NOBODY)))
