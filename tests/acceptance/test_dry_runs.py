"""Dry runs where there is no cluster: they print the objects, and say that nobody was asked."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.live import Live

ECHO = "print(message()['payload'], end='')"
WORDS = ("--executor", "kubernetes", "--dry-run")


@pytest.fixture(autouse=True)
def no_cluster(live: Live, tmp_path: Path) -> None:
    live.environment["KUBECONFIG"] = str(tmp_path / "none-such")


def from_image(live: Live, name: str, **action: Any) -> None:
    """Write a skill that runs from an image which is built elsewhere."""
    live.skill(name, ECHO, **action)
    shutil.rmtree(live.root / "skills" / name / "actions")


def test_without_a_cluster_the_objects_are_printed_all_the_same(live: Live) -> None:
    from_image(live, "echo")
    ran = live.ok("skills", "invoke", "echo", *WORDS)
    assert [item["kind"] for item in yaml.safe_load(ran.out)["items"]] == ["Secret", "Job"]
    assert yaml.safe_load(ran.out) == yaml.safe_load(live.ok("skills", "describe", "echo", "-o", "k8s").out)
    assert "No cluster was asked: no cluster is configured: there is no file " in ran.err
    assert "Nothing was created" in ran.err
    assert "Next: fabric-jobs skills invoke echo --executor kubernetes --payload '{}'" in ran.err
    assert live.ok("tasks", "list", "-o", "json").value == []
    assert live.ok("skills", "invoke", "echo", *WORDS, "--output", "json").value["kind"] == "List"


def test_a_dry_run_of_an_agent_is_one_of_each_of_its_skills(live: Live) -> None:
    from_image(live, "one")
    from_image(live, "two")
    live.agent("both", ("input", "one"), ("one", "two"), ("two", "output"))
    found = yaml.safe_load(live.ok("agents", "invoke", "both", *WORDS).out)["items"]
    assert [(item["kind"], item["metadata"]["labels"]["fabric-jobs/skill"]) for item in found] == [
        ("Secret", "one"),
        ("Job", "one"),
        ("Secret", "two"),
        ("Job", "two"),
    ]


def test_what_the_invocation_would_lack_is_an_error_beside_the_objects(live: Live) -> None:
    live.skill("echo", ECHO)
    ran = live.run("skills", "invoke", "echo", *WORDS)
    assert [item["kind"] for item in yaml.safe_load(ran.out)["items"]] == ["Secret", "Job"]
    assert "Nothing was created" in ran.err
    assert "Next: " not in ran.err
    invoked = live.run("skills", "invoke", "echo", "--executor", "kubernetes", "--payload", "{}")
    assert invoked.code == ran.code != 0
    assert invoked.err.strip() in ran.err  # that its image was not built or, without Docker, that nobody knows


def test_input_and_cold_count_as_for_an_invocation(live: Live) -> None:
    from_image(live, "echo", warm=True)
    ran = live.ok("skills", "invoke", "echo", "request", "--cold", *WORDS)
    assert "Next: fabric-jobs skills invoke echo request --executor kubernetes --cold --payload '{}'" in ran.err
    warm = live.ok("skills", "invoke", "echo", *WORDS)
    pools = ["fabric-jobs/pool" in yaml.safe_load(each.out)["items"][1]["metadata"]["labels"] for each in (ran, warm)]
    assert pools == [False, True]
    assert "no input 'none'" in live.fails(3, "skills", "invoke", "echo", "none", *WORDS)


def test_options_that_do_not_fit_are_refused(live: Live) -> None:
    live.skill("echo", ECHO)
    assert "add --executor kubernetes" in live.fails(2, "skills", "invoke", "echo", "--dry-run")
    assert "add --executor kubernetes" in live.fails(2, "skills", "invoke", "echo", "--dry-run", "--executor", "docker")
    assert "--detach has no effect" in live.fails(2, "skills", "invoke", "echo", *WORDS, "--detach")
    assert "--snapshot has no effect" in live.fails(2, "agents", "invoke", "x", "--snapshot", *WORDS)
    assert "is not JSON" in live.fails(2, "skills", "invoke", "echo", *WORDS, "--payload", "{")
    assert "Did you mean 'echo'?" in live.fails(3, "skills", "invoke", "ecko", *WORDS)
    live.stop_owner()  # whose setting it is
    wrong = live.fails(2, "skills", "invoke", "echo", *WORDS, FABRIC_JOBS_KUBERNETES_MESH="on")
    assert "is one of off, scuttle, native, not 'on'" in wrong
