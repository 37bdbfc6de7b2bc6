"""The doctor and a cluster: whether pods reach this machine, tried by one."""

from __future__ import annotations

import json

from tests.acceptance.live import until
from tests.kubernetes.live import KubernetesLive
from tests.kubernetes_place import BASE_IMAGE, needs_cluster

pytestmark = needs_cluster


def found(live: KubernetesLive, image: str) -> dict[str, str]:
    """Return what the doctor says of the way from a pod of an image: level by message."""
    findings = json.loads(live.run("doctor", "--pod-image", image, "--output", "json").out)
    return {each["message"]: each["level"] for each in findings if each["check"] == "kubernetes"}


def test_a_pod_tries_the_way_and_is_gone(live: KubernetesLive) -> None:
    text = f"a pod of {BASE_IMAGE} reaches this machine at "
    assert [level for message, level in found(live, BASE_IMAGE).items() if message.startswith(text)] == ["ok"]
    until(lambda: not live.names("jobs") and not live.names("pods"), "the pod is gone")


def test_an_image_that_cannot_try_it_is_said(live: KubernetesLive) -> None:
    text = "No pod of rig.local/busybox:1 could try whether it reaches this machine at "
    levels = [level for message, level in found(live, "rig.local/busybox:1").items() if message.startswith(text)]
    assert levels == ["warning"]
