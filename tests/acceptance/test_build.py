"""`workspaces build` with a real engine: images that run, what is rebuilt and what is not, failures, Ctrl-C."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fabric_jobs.errors import NotFound
from fabric_jobs.images.context import content_hash
from fabric_jobs.images.docker_command import builder
from fabric_jobs.workspace.images import images_of
from fabric_jobs.workspace.tree import Workspace
from tests.acceptance.live import COMMAND, Live, until
from tests.docker_place import BASE_IMAGE, BUILD_ARGS, docker, needs_docker
from tests.images.workspaces import write_skill

pytestmark = needs_docker
UNCHANGED_SECONDS = 5.0  # 0.5 on an idle machine, but other tests run beside this one
ON_PYTHON = f"FROM {BASE_IMAGE}\nCOPY . /app\n"


def named(skill: str) -> list[str]:
    """Return the names of the images of a skill."""
    listed = docker(
        "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"label=fabric-jobs.skill={skill}"
    )
    return sorted(listed.stdout.split())


@pytest.fixture(autouse=True)
def no_registry(live: Live, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No registry of this user is active."""
    live.environment["FABRIC_JOBS_CONFIG_DIR"] = str(tmp_path_factory.mktemp("config"))
    monkeypatch.setenv("FABRIC_JOBS_CONFIG_DIR", live.environment["FABRIC_JOBS_CONFIG_DIR"])


@pytest.fixture
def name() -> Iterator[str]:
    """The name of a skill whose images are removed afterwards."""
    unique = f"test-{uuid.uuid4().hex[:12]}"
    yield unique
    for suffix in ("", "-b", "-c"):
        identities = docker("image", "ls", "-q", "--filter", f"label=fabric-jobs.skill={unique}{suffix}").stdout.split()
        if identities:
            docker("image", "rm", "--force", *set(identities), check=False)


def test_a_generated_skill_is_built_and_its_image_runs(live: Live, name: str) -> None:
    live.ok("workspaces", "generate", name)
    ran = live.ok("workspaces", "build", "--output", "json", *BUILD_ARGS)
    (row,) = ran.value
    directory = live.root / "skills" / name / "actions" / name
    assert row["image"] == f"{name}:{content_hash(directory)}"
    assert row["state"] == "built"
    lines = [line for line in ran.err.splitlines() if not line.startswith("Warning: ")]
    assert lines[0] == f"{name}: building …"
    assert lines[1].startswith(f"{name}: built in ")
    assert lines[2:] == ["Next: fabric-jobs workspaces publish"]
    assert named(name) == sorted([row["image"], f"{name}:latest"])
    message = '{"payload": {"text": "to be or not"}}'
    said = docker("run", "--rm", "--network", "none", "--env", "START_WITHOUT_ENVOY=true", row["image"], message)
    assert "to be or not" in said.stdout


def test_what_has_not_changed_is_not_built_again(live: Live, name: str) -> None:
    directory = write_skill(live.root, name)
    write_skill(live.root, f"{name}-b", "first", "second")
    live.ok("workspaces", "build")
    started = time.monotonic()
    rows = live.ok("workspaces", "build", "--output", "json").value
    assert time.monotonic() - started < UNCHANGED_SECONDS
    assert [row["state"] for row in rows] == ["unchanged"] * 3

    before = rows[0]["image"]
    (directory / "main.py").write_text("print('changed')\n")
    rows = live.ok("workspaces", "build", "--output", "json").value
    assert [row["state"] for row in rows] == ["built", "unchanged", "unchanged"]
    assert named(name) == sorted([before, rows[0]["image"], f"{name}:latest"])
    rows = live.ok("workspaces", "build", "--no-cache", "--skill", name, "--output", "json").value
    assert [row["state"] for row in rows] == ["built"]


def identity(image: str) -> str:
    return docker("image", "inspect", "--format", "{{.Id}}", image).stdout


def test_latest_is_what_the_files_are_now(live: Live, name: str) -> None:
    program = write_skill(live.root, name) / "main.py"
    text = program.read_text()
    (first,) = live.ok("workspaces", "build", "--output", "json").value
    program.write_text("print('second')\n")
    live.ok("workspaces", "build")
    assert identity(f"{name}:latest") != identity(first["image"])
    program.write_text(text)
    (row,) = live.ok("workspaces", "build", "--output", "json").value
    assert row["state"] == "unchanged"
    assert identity(f"{name}:latest") == identity(first["image"])


def test_another_build_argument_is_another_image(live: Live, name: str) -> None:
    write_skill(live.root, name, dockerfile="FROM scratch\nARG WHAT=1\nLABEL what=$WHAT\nCOPY . /\n")
    live.ok("workspaces", "build", "--build-arg", "WHAT=2")
    (row,) = live.ok("workspaces", "build", "--build-arg", "WHAT", "--output", "json", WHAT="2").value
    assert row["state"] == "unchanged"
    (row,) = live.ok("workspaces", "build", "--output", "json", FABRIC_JOBS_BUILD_ARGS="WHAT=3").value
    assert row["state"] == "built"
    shown = docker("image", "inspect", "--format", "{{.Config.Labels.what}}", f"{name}:latest", row["image"])
    assert shown.stdout.split() == ["3", "3"]


def test_the_output_of_the_step_that_failed_is_shown_whole(live: Live, name: str) -> None:
    failing = f"{ON_PYTHON}RUN for i in $(seq 100); do echo line $i; done; exit 3\n"
    directory = write_skill(live.root, name, dockerfile=failing)
    write_skill(live.root, f"{name}-b")
    ran = live.run("workspaces", "build", "--output", "json")
    assert ran.code == 1
    assert [row["state"] for row in ran.value] == ["failed", "built"]
    lines = ran.err.splitlines()
    at = lines.index("line 1")
    assert lines[at : at + 100] == [f"line {number}" for number in range(1, 101)]
    assert ran.err.count("line 100\n") == 1
    assert named(name) == []

    (directory / "Dockerfile").write_text(ON_PYTHON)
    rows = live.ok("workspaces", "build", "--output", "json").value
    assert [row["state"] for row in rows] == ["built", "unchanged"]


@pytest.mark.parametrize(
    ("dockerfile", "said"),
    [
        ("", "Dockerfile"),
        ("# nothing\n", "no instructions"),
        ("FROM scratch\nIMPORT x\n", "unknown instruction: IMPORT"),
        ("FROM scratch\nCOPY there-is-none /\n", "there-is-none"),
        ("FROM localhost:1/there-is-none:1\n", "localhost:1/there-is-none"),
        (f"{ON_PYTHON}RUN head -c 1000000 /dev/zero > /dev/full\n", "No space left on device"),
    ],
    ids=["empty", "comment", "instruction", "copy", "base-image", "disk-full"],
)
def test_a_dockerfile_that_cannot_be_built(live: Live, name: str, dockerfile: str, said: str) -> None:
    write_skill(live.root, name, dockerfile=dockerfile)
    assert said in live.fails(1, "workspaces", "build")
    assert named(name) == []


def test_what_is_ignored_is_neither_in_the_image_nor_a_change(live: Live, name: str) -> None:
    directory = write_skill(live.root, name, dockerfile=ON_PYTHON)
    (directory / ".dockerignore").write_text("*.csv\n!kept.csv\n")
    for file in ("left.csv", "kept.csv"):
        (directory / file).write_text("1")
    (row,) = live.ok("workspaces", "build", "--output", "json").value
    inside = docker("run", "--rm", "--network", "none", "--entrypoint", "ls", row["image"], "/app").stdout.split()
    assert "kept.csv" in inside
    assert "left.csv" not in inside
    (directory / "left.csv").write_text("2")
    (row,) = live.ok("workspaces", "build", "--output", "json").value
    assert row["state"] == "unchanged"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_builds_and_leaves_no_name(live: Live, name: str, number: signal.Signals) -> None:
    directory = write_skill(live.root, name, dockerfile=f"{ON_PYTHON}RUN sleep 300\n")
    started = live.start("workspaces", "build")
    started.wait_for("building")
    until(lambda: builds_of(directory), "a docker command builds")
    started.signal(number)
    ran = started.finish()
    assert (ran.code, ran.err.splitlines()[-1]) == (128 + number, "Interrupted.")
    assert builds_of(directory) == []
    assert named(name) == []


def builds_of(directory: Path) -> list[str]:
    """Return the processes that build this directory."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        if words[-2:-1] == [os.fsencode(directory)] and b"build" in words:
            found.append(file.parent.name)
    return found


def test_a_terminal_shows_one_line_that_is_drawn_over(live: Live, name: str) -> None:
    write_skill(live.root, name, dockerfile=f"{ON_PYTHON}RUN sleep 0.3\n")
    master, slave = pty.openpty()
    with subprocess.Popen(
        [COMMAND, "workspaces", "build", "--no-cache"],
        cwd=live.root,
        env=live.environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    ) as process:
        os.close(slave)
        said = b""
        with suppress(OSError):  # the terminal is gone with its last process
            while block := os.read(master, 65_536):
                said += block
    os.close(master)
    assert process.returncode == 0
    text = said.decode()
    assert "RUN sleep 0.3" in text
    assert "\x1b[1A\x1b[2K" in text
    assert f"{name}  built" in text.replace("\x1b[2K", "")


def test_images_of_names_what_was_built(live: Live, name: str) -> None:
    program = write_skill(live.root, name, "first", "second") / "main.py"
    found = Workspace(live.root).skill(name)
    with pytest.raises(NotFound, match=r"the action 'first' of the skill .* its image was not built") as caught:
        images_of(found)
    assert caught.value.hint == f"Build it: fabric-jobs workspaces build --skill {name}"
    rows = live.ok("workspaces", "build", "--output", "json").value
    assert images_of(found) == {row["action"]: row["image"] for row in rows}
    program.write_text("print('changed')\n")
    with pytest.raises(NotFound, match=r"the action 'first' .* have changed since"):
        images_of(found)


def test_the_printed_commands_build_the_same(live: Live, name: str) -> None:
    write_skill(live.root, name)
    printed = live.ok("workspaces", "build", "--print").out
    subprocess.run(["sh", "-c", printed], check=True, capture_output=True)
    (row,) = live.ok("workspaces", "build", "--output", "json").value
    assert row["state"] == "unchanged"


def test_a_folder_is_a_workspace(live: Live, name: str, tmp_path: Path) -> None:
    write_skill(live.root, name)
    ran = live.ok("workspaces", "build", live.root, cwd=tmp_path)
    assert ran.err.endswith(f"Next: fabric-jobs workspaces publish {live.root}\n")


def test_a_platform_is_handed_on(live: Live, name: str) -> None:
    write_skill(live.root, name)
    if not builder().is_buildkit:
        pytest.skip("the old builder builds for no other platform")
    (row,) = live.ok("workspaces", "build", "--platform", "linux/arm64", "--output", "json").value
    assert row["platform"] == "linux/arm64"
    assert docker("image", "inspect", "--format", "{{.Architecture}}", row["image"]).stdout.strip() == "arm64"


def test_the_state_of_a_skill_that_is_a_workspace_stays_out_of_its_image(live: Live, name: str) -> None:
    (live.root / "skills").rmdir()
    target = {"action": name, "runtime": "cortex/jobs", "output": "o"}
    document = {"name": name, "inputs": [{"name": "i", "routing": {"all": target}}], "outputs": [{"name": "o"}]}
    (live.root / "skill.yaml").write_text(json.dumps(document))
    (live.root / "Dockerfile").write_text(ON_PYTHON + 'ENTRYPOINT ["ls", "-A", "/app"]\n')
    (live.root / ".dockerignore").write_text("left-out")
    (live.root / "left-out").touch()
    live.state.mkdir(exist_ok=True)
    (live.state / "owner.json").write_text("a token")
    live.ok("workspaces", "build")
    listed = docker("run", "--rm", "--network", "none", f"{name}:latest").stdout.split()
    assert sorted(listed) == [".dockerignore", "Dockerfile", "skill.yaml"]
