"""The environments of `fabric-jobs-cortex`, and its errors; tests/clients calls it as the Python client does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.runtime import cortex_command
from fabric_jobs.runtime.cortex_command import environments
from fabric_jobs.runtime.cortex_command.environments import Environments
from fabric_jobs.runtime.cortex_command.refused import Refused

URL = "http://localhost:8888"
NAMES = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


def command(*words: str, home: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command with nothing but the standard library."""
    path = Path(cortex_command.__file__).parent.parent
    start = (
        f"import runpy, sys; sys.path.insert(0, {str(path)!r}); runpy.run_module('cortex_command', run_name='__main__')"
    )
    return subprocess.run(
        [sys.executable, "-I", "-c", start, *words],
        env={"HOME": str(home), **env},
        capture_output=True,
        text=True,
        check=False,
    )


@given(st.dictionaries(NAMES, NAMES, max_size=3), st.data())
def test_what_is_written_is_read_here_and_by_yaml(endpoints: dict[str, str], data: st.DataObject) -> None:
    default = data.draw(st.sampled_from(["", *endpoints]))
    found = Environments(default, endpoints, (("telemetry", "false"),))
    text = environments.written(found)
    assert environments.parsed(text) == found
    read = yaml.safe_load(text)
    assert read.get("default_environment", "") == default
    assert {row["name"]: row["operator_endpoint"] for row in read["environments"]} == endpoints
    assert read["telemetry"] is False


@pytest.mark.parametrize(
    "text",
    [
        "default_environment: aws\nenvironments:\n  - name: aws\n    operator_endpoint: http://x:1 # its load balancer\n",
        "# mine\n---\ntelemetry: false\ndefault_environment: 'aws'\nenvironments:\n- name: \"aws\"\n  operator_endpoint: http://x:1\n",
        "environments:\n- operator_endpoint: http://x:1\n  name: aws\ndefault_environment: aws\n",
        '{"default_environment": "aws", "environments": [{"name": "aws", "operator_endpoint": "http://x:1"}]}',
    ],
)
def test_files_of_cortex_labs_are_read(text: str) -> None:
    found = environments.parsed(text)
    assert (found.default, found.endpoints) == ("aws", {"aws": "http://x:1"})


@pytest.mark.parametrize("text", ["environments: [\n", "- a\n- b\n", "{", "x\n", "a: {b: c}\n  d\n"])
def test_a_file_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "cli.yaml").write_text(text)
    with pytest.raises(Refused, match=r"cli\.yaml"):
        environments.load(str(tmp_path))


def test_environments_are_configured_and_deleted(tmp_path: Path) -> None:
    def env(*words: str) -> str:
        ran = command("env", *words, home=tmp_path, CORTEX_CLI_CONFIG_DIR=str(tmp_path / "config"))
        assert ran.returncode == 0, ran
        return ran.stdout

    env("configure", "one", "--operator-endpoint", f"{URL}/")
    env("configure", "two", "--operator-endpoint", "https://x")
    assert json.loads(env("list", "--output", "json")) == {
        "default_environment": "one",
        "environments": [{"name": "one", "operator_endpoint": URL}, {"name": "two", "operator_endpoint": "https://x"}],
    }
    env("default", "two")
    env("delete", "two")
    left = {"default_environment": None, "environments": [{"name": "one", "operator_endpoint": URL}]}
    assert json.loads(env("list")) == left


def test_the_usual_place_is_the_home_directory(tmp_path: Path) -> None:
    assert command("env", "configure", "one", "--operator-endpoint", URL, home=tmp_path).returncode == 0
    assert (tmp_path / ".cortex" / "cli.yaml").read_text().startswith("default_environment")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["get", "-o", "json"], "no default environment"),
        (["get", "-o", "json", "--env", "none"], "no environment 'none'; known: none"),
        (["env", "delete", "none"], "no environment 'none'"),
        (["env", "configure", "x", "--operator-endpoint", "localhost:8888"], "not the URL"),
        (["deploy", "nowhere.yaml", "-e", "x"], "no environment 'x'"),
    ],
)
def test_what_is_wrong_is_said_on_stderr(tmp_path: Path, words: list[str], said: str) -> None:
    ran = command(*words, home=tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("error: ")
    assert said in ran.stderr


def test_a_gateway_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert command("env", "configure", "x", "--operator-endpoint", "http://127.0.0.1:1", home=tmp_path).returncode == 0
    ran = command("get", "-o", "json", home=tmp_path)
    assert ran.returncode == 1
    assert "http://127.0.0.1:1 cannot be reached" in ran.stderr


def test_an_ignore_file_is_never_left_unread(tmp_path: Path) -> None:
    """Without fabric_jobs there is no library for it, and to send what it names would be wrong."""
    for name in ("cortex.yaml", ".cortexignore"):
        (tmp_path / name).write_text("")
    assert command("env", "configure", "x", "--operator-endpoint", "http://127.0.0.1:1", home=tmp_path).returncode == 0
    ran = command(
        "deploy",
        str(tmp_path / "cortex.yaml"),
        home=tmp_path / "other",
        CORTEX_CLI_CONFIG_DIR=str(tmp_path / ".cortex"),
    )
    assert ran.returncode == 1
    assert ".cortexignore cannot be read here" in ran.stderr
