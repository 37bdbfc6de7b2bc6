"""Configurations of containers, compared as values without an engine."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.docker.images import Image
from fabric_jobs.executors.base import AttemptSpec, Limits, ProcessSpec
from fabric_jobs.executors.docker import describe
from fabric_jobs.executors.docker.describe import Surroundings
from fabric_jobs.executors.docker.members import Beside

IMAGE = Image(entrypoint=(), command=("python3",), environment={"PATH": "/bin"}, user="", stop_signal="SIGTERM")
AROUND = Surroundings(
    owner="owner",
    network="fabric-jobs",
    uid=0,
    gid=0,
    state=Path("/home/me/work/.fabric-jobs"),
    door=Path("/tmp/door"),
    shares_files=True,
    reaches_network=True,
)
FILES = Path("/home/me/work/.fabric-jobs/attempts/a-1/files")


def spec_of(**changes: Any) -> AttemptSpec:
    files = changes.pop("files", {})
    return AttemptSpec(name="a-1", processes=(ProcessSpec(directory=None, image="i:1", **changes),), files=files)


def container(around: Surroundings = AROUND, image: Image = IMAGE, **changes: Any) -> dict[str, Any]:
    return describe.container(spec_of(**changes), image, FILES, around)


def variables(made: dict[str, Any]) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in made["Env"])


# Its program

SHELL_FORM = ("/bin/sh", "-c", "exec python main.py")


@pytest.mark.parametrize(
    ("command", "entrypoint", "default", "words"),
    [
        (("python", "main.py"), (), (), ("python", "main.py", "M")),
        (("python", "main.py"), ("scuttle",), ("other",), ("python", "main.py", "M")),
        ((), ("scuttle", "python", "main.py"), (), ("scuttle", "python", "main.py", "M")),
        ((), (), ("python", "main.py"), ("python", "main.py", "M")),
        ((), ("scuttle",), ("python", "main.py"), ("scuttle", "python", "main.py", "M")),
        ((), SHELL_FORM, (), ("/bin/sh", "-c", 'exec python main.py "$@"', "sh", "M")),
        ((), (), SHELL_FORM, ("/bin/sh", "-c", 'exec python main.py "$@"', "sh", "M")),
        (("/bin/sh", "-c", "echo $0"), (), (), ("/bin/sh", "-c", "echo $0", "M")),
        ((), ("/bin/sh", "-c", "echo $1", "sh"), (), ("/bin/sh", "-c", "echo $1", "sh", "M")),
        ((), ("/bin/sh", "-c", 'echo "$0" | cat'), ("ignored",), ("/bin/sh", "-c", 'echo "$0" | cat', "M")),
        ((), ("scuttle",), ("/bin/sh", "-c", "a; b"), ("scuttle", "/bin/sh", "-c", "a; b", "sh", "M")),
    ],
    ids=[
        "command",
        "command first",
        "entrypoint",
        "cmd",
        "both",
        "shell",
        "cmd shell",
        "own shell",
        "own name",
        "as docker run",
        "scuttle",
    ],
)
def test_the_message_is_the_last_argument(
    command: tuple[str, ...], entrypoint: tuple[str, ...], default: tuple[str, ...], words: tuple[str, ...]
) -> None:
    image = replace(IMAGE, entrypoint=entrypoint, command=default)
    process = spec_of(command=command, arguments=("M",)).processes[0]
    assert describe.program(process, image) == words
    made = container(image=image, command=command, arguments=("M",))
    assert (*made["Entrypoint"], *made["Cmd"]) == words


def test_without_a_message_the_program_is_that_of_the_image() -> None:
    image = replace(IMAGE, command=SHELL_FORM)
    assert describe.program(spec_of().processes[0], image) == SHELL_FORM


def test_a_message_is_no_program() -> None:
    image = replace(IMAGE, command=())
    assert describe.program(spec_of().processes[0], image) == ()
    assert describe.program(spec_of(arguments=("M",)).processes[0], image) == ()


# Its user


@pytest.mark.parametrize(
    ("user", "uid", "runs_as"),
    [
        ("", 0, ""),
        ("", 1000, "1000:1001"),
        ("root", 1000, "1000:1001"),
        ("0:0", 1000, "1000:1001"),
        ("worker", 1000, ""),
        ("worker", 0, ""),
        ("1234:5", 1000, ""),
    ],
)
def test_nobody_runs_as_root_for_a_user_who_is_not(user: str, uid: int, runs_as: str) -> None:
    image, around = replace(IMAGE, user=user), replace(AROUND, uid=uid, gid=1001)
    assert describe.user_of(image, around) == runs_as
    made = container(around, image)
    assert made.get("User", "") == runs_as
    assert variables(made).get("HOME", "") == ("/tmp" if runs_as else "")


def test_a_home_that_is_given_stays() -> None:
    made = container(replace(AROUND, uid=1000), environment={"HOME": "/home/it"})
    assert variables(made)["HOME"] == "/home/it"


# What it may do


def test_limits_are_those_of_the_engine_without_swap() -> None:
    limited = container(limits=Limits(cpu=0.25, memory=1 << 20, gpu=2))["HostConfig"]
    assert limited["NanoCpus"] == 250_000_000
    assert limited["Memory"] == limited["MemorySwap"] == 1 << 20
    assert limited["DeviceRequests"] == [{"Count": 2, "Capabilities": [["gpu"]]}]
    assert not {"NanoCpus", "Memory", "MemorySwap", "DeviceRequests"} & container()["HostConfig"].keys()


def test_rights_are_taken_away() -> None:
    made = container()["HostConfig"]
    assert made["CapDrop"] == ["ALL"]
    assert made["SecurityOpt"] == ["no-new-privileges"]
    assert not made.get("Privileged")
    assert made["NetworkMode"] == "fabric-jobs"


# What it sees


def test_mounts_are_read_only_but_the_workspace_whose_state_is_hidden() -> None:
    mounts = container(workspace="/home/me/work", files={"payload.json": b""})["HostConfig"]["Mounts"]
    assert {mount["Target"]: (mount["Type"], mount["ReadOnly"]) for mount in mounts} == {
        "/opt/fabric-jobs/runtime": ("bind", True),
        "/run/fabric-jobs/files": ("bind", True),
        "/run/fabric-jobs/door": ("bind", True),
        "/home/me/work": ("bind", False),
        "/home/me/work/.fabric-jobs": ("tmpfs", True),
    }


def test_the_state_is_hidden_by_whatever_path_it_and_the_workspace_are_named(tmp_path: Path) -> None:
    real = tmp_path / "real"
    (real / "deep" / "state").mkdir(parents=True)
    (real / ".fabric-jobs").mkdir()  # another owner's: this one's is elsewhere
    (tmp_path / "link").symlink_to(real)
    (real / "state-link").symlink_to("deep/state")
    for workspace in (real, tmp_path / "link"):
        for state in (real / "deep" / "state", tmp_path / "link" / "deep" / "state", tmp_path / "link" / "state-link"):
            found = container(replace(AROUND, state=state), workspace=str(workspace))["HostConfig"]["Mounts"]
            hidden = {mount["Target"] for mount in found if mount["Type"] == "tmpfs"}
            assert hidden == {f"{workspace}/deep/state", f"{workspace}/.fabric-jobs"}


def test_a_workspace_that_is_the_state_itself_is_not_mounted(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    found = container(replace(AROUND, state=tmp_path), workspace=str(tmp_path / "link"))["HostConfig"]["Mounts"]
    assert [mount["Target"] for mount in found] == ["/opt/fabric-jobs/runtime", "/run/fabric-jobs/door"]


@pytest.mark.parametrize(
    ("image", "command", "is_hidden"),
    [
        ({"directory": "/app"}, (), True),
        ({"directory": "/app/src"}, (), True),
        ({"directory": "/application"}, (), False),
        ({"directory": "/"}, ("python", "/app/main.py"), True),
        ({}, ("python", "main.py", "--out=/app/out.json"), False),
        ({"command": ("python", "--file=/app/main.py")}, (), True),
        ({"entrypoint": ("/app/run",), "command": ()}, (), True),
        ({"command": ("/bin/sh", "-c", "exec python /app/main.py | cat")}, (), True),
        ({"environment": {"PATH": "/app/bin:/bin"}}, (), True),
        ({"environment": {"PYTHONPATH": "/app/lib"}}, (), True),
        ({}, ("python", "main.py", "/etc/app"), False),
    ],
)
def test_a_workspace_does_not_hide_the_program_of_the_image(
    image: dict[str, Any], command: tuple[str, ...], is_hidden: bool
) -> None:
    environment = {"FABRIC_JOBS_WORKSPACE": "/app"}
    around = replace(AROUND, state=Path("/app/.fabric-jobs"))
    made = container(around, replace(IMAGE, **image), workspace="/app", command=command, environment=environment)
    inside = "/run/fabric-jobs/workspace" if is_hidden else "/app"
    targets = {mount["Target"]: mount.get("Source") for mount in made["HostConfig"]["Mounts"]}
    assert targets[inside] == "/app"
    assert f"{inside}/.fabric-jobs" in targets
    assert ("/app" in targets) is not is_hidden
    assert variables(made)["FABRIC_JOBS_WORKSPACE"] == inside


def test_what_is_not_there_is_not_mounted() -> None:
    made = container(replace(AROUND, door=None))["HostConfig"]["Mounts"]
    assert [mount["Target"] for mount in made] == ["/opt/fabric-jobs/runtime"]


def test_an_engine_far_away_gets_no_directory_of_this_machine() -> None:
    far = replace(AROUND, shares_files=False, reaches_network=False, door=None)
    made = container(far, workspace="/home/me/work", files={"payload.json": b"{}"}, port=5000)["HostConfig"]
    assert "Mounts" not in made
    assert made["PortBindings"] == {"5000/tcp": [{"HostIp": "", "HostPort": ""}]}


@pytest.mark.parametrize(("reaches", "published"), [(True, None), (False, "127.0.0.1")])
def test_a_port_is_published_only_where_the_network_cannot_be_reached(reaches: bool, published: str | None) -> None:
    made = container(replace(AROUND, reaches_network=reaches), port=5000)
    places = made["HostConfig"].get("PortBindings", {}).get("5000/tcp", [{"HostIp": None}])
    assert [place["HostIp"] for place in places] == [published]
    assert variables(made)["PORT"] == "5000"


def test_the_runtime_layer_comes_before_what_the_image_imports() -> None:
    image = replace(IMAGE, environment={"PYTHONPATH": "/image"})
    layer = "/opt/fabric-jobs/runtime"
    assert variables(container(image=image))["PYTHONPATH"] == f"{layer}:/image"
    assert variables(container(image=image, environment={"PYTHONPATH": "/own"}))["PYTHONPATH"] == f"{layer}:/own"
    assert variables(container())["PYTHONPATH"] == layer


def test_an_archive_has_the_runtime_layer_and_the_files() -> None:
    with tarfile.open(fileobj=io.BytesIO(describe.archive({"payload.json": b"{}"}))) as tar:
        names = tar.getnames()
        member = tar.extractfile("run/fabric-jobs/files/payload.json")
        assert member is not None
        assert member.read() == b"{}"
        assert {each.mode for each in tar.getmembers()} == {0o644}
    assert "opt/fabric-jobs/runtime/fabric_skill/__init__.py" in names
    assert not [name for name in names if name.startswith("/")]


# Several containers

VOLUMES = {"/mnt": "v-0", "/cortex": "v-1"}


def beside(network: str = "", **changes: Any) -> dict[str, Any]:
    around = Beside(attempt="a-1", network=network, volumes=VOLUMES, placed={})
    return describe.container(spec_of(**changes), IMAGE, FILES, AROUND, around)


def test_the_first_of_several_has_the_network_and_the_ways_to_the_gateway() -> None:
    made = beside(files={"worker.json": b""})
    assert made["HostConfig"]["NetworkMode"] == "fabric-jobs"
    assert made["Labels"] == {"fabric-jobs.attempt": "a-1", "fabric-jobs.owner": "owner"}
    targets = [mount["Target"] for mount in made["HostConfig"]["Mounts"]]
    assert targets[-2:] == ["/mnt", "/cortex"]
    assert {"/opt/fabric-jobs/runtime", "/run/fabric-jobs/files", "/run/fabric-jobs/door"} < set(targets)


def test_the_others_join_it_and_share_directories_only() -> None:
    made = beside("first", environment={"MINE": "1", "PYTHONPATH": "/mine"}, limits=Limits(shm=1 << 20))
    host = made["HostConfig"]
    assert host["NetworkMode"] == "container:first"
    assert "ExtraHosts" not in host
    assert [(mount["Type"], mount["Source"], mount["Target"]) for mount in host["Mounts"]] == [
        ("volume", "v-0", "/mnt"),
        ("volume", "v-1", "/cortex"),
    ]
    assert host["CapDrop"] == ["ALL"]
    assert host["ShmSize"] == 1 << 20
    assert variables(made)["PYTHONPATH"] == "/mine"
    assert not {name for name in variables(made) if name.startswith("FABRIC_JOBS")}


def test_names_of_the_attempt_itself_lead_to_it_and_its_low_ports_are_free() -> None:
    spec = replace(spec_of(), hosts=("operator.example",))
    host = describe.container(spec, IMAGE, FILES, AROUND)["HostConfig"]
    assert host["ExtraHosts"] == ["operator.example:127.0.0.1"]
    assert host["Sysctls"] == {"net.ipv4.ip_unprivileged_port_start": "0"}
    joined = describe.container(spec, IMAGE, FILES, AROUND, Beside("a-1", "first", VOLUMES, {}))["HostConfig"]
    assert not {"ExtraHosts", "Sysctls"} & joined.keys()


def test_shared_directories_are_for_every_user_and_begin_with_files() -> None:
    made = describe.shared_archive(("/mnt", "/cortex"), {"/cortex/spec/job.json": b"{}"})
    with tarfile.open(fileobj=io.BytesIO(made)) as tar:
        found = {each.name: (each.isdir(), each.mode) for each in tar.getmembers()}
    assert found == {
        "mnt": (True, 0o777),
        "cortex": (True, 0o777),
        "cortex/spec": (True, 0o777),
        "cortex/spec/job.json": (False, 0o644),
    }
