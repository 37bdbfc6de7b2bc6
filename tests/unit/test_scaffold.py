"""Templates and written trees: exact files, nothing overwritten, nothing left behind."""

from __future__ import annotations

import errno
import json
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fabric_jobs import shipped
from fabric_jobs.errors import AlreadyExists, InvalidInput, NotFound, PlaceUnavailable
from fabric_jobs.scaffold import files as tree_files
from fabric_jobs.scaffold.files import read_tree, write_new
from fabric_jobs.scaffold.templates import list_templates, render
from fabric_jobs.scaffold.tree_text import draw_tree
from fabric_jobs.scaffold.yaml_text import scalar
from tests.templates import shipped_templates

TEMPLATES = shipped_templates("job")
TREE = [
    "docs/smmjob/README.md",
    "skills/smmjob/actions/smmjob/Dockerfile",
    "skills/smmjob/actions/smmjob/main.py",
    "skills/smmjob/actions/smmjob/requirements.txt",
    "skills/smmjob/invoke/request/message.json",
    "skills/smmjob/skill.yaml",
]


def everything_below(directory: Path) -> list[str]:
    """Return all files and directories, to check that nothing is left behind."""
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*"))


def action_of(destination: Path, name: str) -> Path:
    return destination / "skills" / name / "actions" / name


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, program, *arguments], capture_output=True, text=True, check=False)


# -- templates ---------------------------------------------------------------------------------------


def test_the_templates_are_listed_by_name() -> None:
    (place,) = {template.directory.parent for template in list_templates()}
    there = {path.parent.name for path in place.glob("*/cookiecutter.json")}
    assert [template.name for template in list_templates()] == sorted(there)
    assert all(template.title and template.description for template in list_templates())


def test_an_unknown_template_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        render("send-mesage", "smmjob", tmp_path)
    assert caught.value.hint == "Did you mean 'send-message'?"
    assert everything_below(tmp_path) == []


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_tree_is_exactly_the_one_of_fabric(template: str, tmp_path: Path) -> None:
    paths = render(template, "smmjob", tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == TREE
    assert [path for path in everything_below(tmp_path) if (tmp_path / path).is_file()] == TREE


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", ["smmJob", "on", "No", "null", "a2"])
def test_the_definition_says_what_fabric_says(template: str, name: str, tmp_path: Path) -> None:
    render(template, name, tmp_path)
    text = (tmp_path / "skills" / name / "skill.yaml").read_text()
    skill = yaml.safe_load(text)
    assert text.splitlines()[0] == f"# yaml-language-server: $schema={shipped.schema_address('skill')}"
    assert (skill["camel"], skill["name"]) == ("1.0.0", name)
    (entry,), (output,), (action,) = skill["inputs"], skill["outputs"], skill["actions"]
    assert entry["name"] == "request"
    assert [(port["name"], port["type"]) for port in entry["parameters"]] == [("params", "object")]
    assert entry["routing"] == {"all": {"action": name, "runtime": "cortex/jobs", "output": "response"}}
    assert (output["name"], [port["name"] for port in output["parameters"]]) == ("response", ["result"])
    stream = {"receives": "stream"} if template == "stream" else {}
    assert action == {"name": name, "type": "job", "image": name.lower(), "response": "stdout", **stream}


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_program_compiles_and_is_short(template: str, tmp_path: Path) -> None:
    render(template, "smmjob", tmp_path)
    program = action_of(tmp_path, "smmjob") / "main.py"
    py_compile.compile(str(program), cfile=str(tmp_path / "compiled"), doraise=True)
    assert len(program.read_text().splitlines()) <= 25


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_message_has_a_payload_and_the_readme_the_command(template: str, tmp_path: Path) -> None:
    render(template, "smmjob", tmp_path)
    message = tmp_path / "skills/smmjob/invoke/request/message.json"
    assert list(json.loads(message.read_text())) == ["payload"]
    command = "fabric-jobs skills invoke smmjob --params-file skills/smmjob/invoke/request/message.json\n"
    assert command in (tmp_path / "docs/smmjob/README.md").read_text()


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_dockerfile_takes_both_images_as_arguments(template: str, tmp_path: Path) -> None:
    render(template, "smmjob", tmp_path)
    lines = (action_of(tmp_path, "smmjob") / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == [
        "ARG SCUTTLE_IMAGE=redboxoss/scuttle:latest",
        "ARG BASE_IMAGE=python:3.12-slim",
        "FROM ${SCUTTLE_IMAGE} AS scuttle",
        "FROM ${BASE_IMAGE}",
        "COPY --from=scuttle /scuttle /bin/scuttle",
        "ENV ENVOY_ADMIN_API=http://localhost:15000",
        "ENV ISTIO_QUIT_API=http://localhost:15020",
        "ENV WAIT_FOR_ENVOY_TIMEOUT=30s",
        "ENV SCUTTLE_LOGGING=false",
        "ADD . /app",
        "RUN pip install -r /app/requirements.txt",
        "WORKDIR /app",
        'ENTRYPOINT ["scuttle", "python", "/app/main.py"]',
    ]


def test_no_template_needs_a_package(tmp_path: Path) -> None:
    for template in TEMPLATES:
        render(template, template, tmp_path)
        lines = (action_of(tmp_path, template) / "requirements.txt").read_text().splitlines()
        assert all(line.startswith("#") for line in lines)


def test_the_job_prints_its_payload(tmp_path: Path) -> None:
    render("job", "smmjob", tmp_path)
    ended = run(action_of(tmp_path, "smmjob") / "main.py", '{"payload": {"message": "hello"}}')
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "Received: {'message': 'hello'}\n", "")


def test_the_job_takes_a_large_payload_from_its_file(tmp_path: Path) -> None:
    render("job", "smmjob", tmp_path)
    payload = tmp_path / "payload.json"
    payload.write_text('"x"')
    ended = run(action_of(tmp_path, "smmjob") / "main.py", json.dumps({"payloadFile": str(payload)}))
    assert (ended.returncode, ended.stdout) == (0, "Received: x\n")


def test_the_functions_to_change_can_be_called_without_a_run(tmp_path: Path) -> None:
    render("send-message", "source", tmp_path)
    render("stream", "stream", tmp_path)
    command = [sys.executable, "-c", "import main; print(list(main.records(1)))"]
    shown = subprocess.run(command, cwd=action_of(tmp_path, "source"), capture_output=True, text=True, check=True)
    assert shown.stdout == "[{'number': 1, 'text': 'record 1 of 1'}]\n"
    command = [sys.executable, "-c", "import main; print(main.change({'number': 1}))"]
    shown = subprocess.run(command, cwd=action_of(tmp_path, "stream"), capture_output=True, text=True, check=True)
    assert shown.stdout == "{'record': {'number': 1}, 'characters': 13}\n"


def test_rendering_neither_reads_nor_writes_the_configuration_of_a_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    broken = home / ".cookiecutterrc"
    broken.write_text("default_context: {name: stranger}\nreplay_dir: [")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("COOKIECUTTER_CONFIG", str(broken))
    render("job", "smmjob", tmp_path / "workspace")
    assert everything_below(home) == [".cookiecutterrc"]
    assert (tmp_path / "workspace/skills/smmjob/skill.yaml").is_file()


def test_what_pip_compiles_inside_a_template_is_not_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_new(read_tree(shipped.templates_dir()), tmp_path / "templates")
    program = next((tmp_path / "templates/job").rglob("main.py"))
    py_compile.compile(str(program), doraise=True)
    assert list((tmp_path / "templates").rglob("__pycache__"))
    monkeypatch.setattr(shipped, "templates_dir", lambda: tmp_path / "templates")
    paths = render("job", "smmjob", tmp_path / "workspace")
    assert [path.relative_to(tmp_path / "workspace").as_posix() for path in paths] == TREE


def test_a_template_that_cannot_be_rendered_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "templates/broken"
    (broken / "{{cookiecutter.name}}").mkdir(parents=True)
    (broken / "cookiecutter.json").write_text('{"name": "x", "_title": "Broken", "_description": "It is."}')
    (broken / "{{cookiecutter.name}}/file").write_text("{{ cookiecutter.unknown }}")
    monkeypatch.setattr(shipped, "templates_dir", lambda: tmp_path / "templates")
    with pytest.raises(InvalidInput, match="'broken' cannot be rendered"):
        render("broken", "smmjob", tmp_path / "workspace")
    assert not (tmp_path / "workspace").exists()


# -- what is there already ---------------------------------------------------------------------------


@pytest.mark.parametrize("present", ["smmjob", "SmmJob"])
def test_an_existing_skill_is_never_overwritten(present: str, tmp_path: Path) -> None:
    (tmp_path / "skills" / present).mkdir(parents=True)
    with pytest.raises(AlreadyExists, match="is never overwritten"):
        render("job", "smmjob", tmp_path)
    assert everything_below(tmp_path) == ["skills", f"skills/{present}"]


def test_an_existing_document_of_another_skill_is_never_overwritten(tmp_path: Path) -> None:
    readme = tmp_path / "docs/smmjob/README.md"
    readme.parent.mkdir(parents=True)
    readme.write_text("mine")
    with pytest.raises(AlreadyExists, match=r"README\.md already exists"):
        render("job", "smmjob", tmp_path)
    assert everything_below(tmp_path) == ["docs", "docs/smmjob", "docs/smmjob/README.md"]
    assert readme.read_text() == "mine"


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(AlreadyExists):
        write_new({"link": b"x"}, tmp_path)
    assert not (tmp_path / "nowhere").exists()


def test_a_file_that_appears_in_the_last_moment_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b").write_bytes(b"mine")
    monkeypatch.setattr(tree_files, "_check_new", lambda target, root: None)
    with pytest.raises(AlreadyExists):
        write_new({"a": b"x", "b": b"y"}, tmp_path)
    assert everything_below(tmp_path) == ["b"]
    assert (tmp_path / "b").read_bytes() == b"mine"


# -- nothing outside, nothing left behind ------------------------------------------------------------


@pytest.mark.parametrize("path", ["../outside", "/outside", "a/../../outside", "link/outside"])
def test_nothing_is_written_outside(path: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(InvalidInput, match="outside"):
        write_new({"first": b"x", path: b"x"}, root)
    assert everything_below(tmp_path) == ["root", "root/link"]


@pytest.mark.parametrize("destination", ["file", "file/below"])
def test_a_destination_that_is_a_file_is_bad_input(destination: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InvalidInput, match="is a file"):
        render("job", "smmjob", tmp_path / destination)
    assert everything_below(tmp_path) == ["file"]


@pytest.mark.parametrize("step", range(len(TREE)))
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_nothing(
    step: int, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, steps = tree_files._write_file, iter(range(len(TREE)))

    def write_half(path: Path, content: bytes, made: list[Path]) -> None:
        at_fault = next(steps) == step
        real(path, content[: len(content) // 2] if at_fault else content, made)
        if at_fault:
            raise error

    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(tree_files, "_write_file", write_half)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else PlaceUnavailable):
        render("job", "smmjob", tmp_path)
    assert everything_below(tmp_path) == ["docs"]


@pytest.mark.parametrize("step", range(6))
def test_a_directory_that_cannot_be_made_leaves_nothing(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, steps = Path.mkdir, iter(range(100))

    def mkdir(path: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        if tmp_path in path.parents and next(steps) == step:
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        real(path, mode, parents, exist_ok)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(PlaceUnavailable, match="Read-only file system"):
        render("job", "smmjob", tmp_path / "workspace")
    assert everything_below(tmp_path) == []


def test_a_directory_that_another_process_makes_meanwhile_is_used_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.mkdir

    def mkdir(path: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        real(path, mode, parents, exist_ok)
        if path.name == "shared":
            raise FileExistsError(errno.EEXIST, "File exists", str(path))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(PlaceUnavailable):
        write_new({"shared/a": b"x", f"shared/{'b' * 300}": b"x"}, tmp_path)
    assert everything_below(tmp_path) == ["shared"]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Path:
    """Yield a file system with room for only a few pages."""
    place = tmp_path / "tiny"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    return place


def test_a_full_disk_is_said_and_nothing_is_left(tiny_disk: Path) -> None:
    try:
        with pytest.raises(PlaceUnavailable, match="No space left on device"):
            render("job", "smmjob", tiny_disk)
        assert everything_below(tiny_disk) == []
    finally:
        subprocess.run(["umount", str(tiny_disk)], check=True)


# -- small things ------------------------------------------------------------------------------------


def test_a_tree_is_drawn_sorted_below_its_root() -> None:
    root = Path("/home/space")
    paths = [root / "skills/a/skill.yaml", root / "docs/a/README.md", Path("skills/a/actions/a/main.py")]
    assert draw_tree(paths, root).splitlines() == [
        "/home/space",
        "├─ docs",
        "│  └─ a",
        "│     └─ README.md",
        "└─ skills",
        "   └─ a",
        "      ├─ actions",
        "      │  └─ a",
        "      │     └─ main.py",
        "      └─ skill.yaml",
    ]


@pytest.mark.parametrize("name", ["on", "Off", "yes", "NO", "true", "False", "null", "word-count", "a_b", "cortex/job"])
def test_a_name_in_yaml_is_read_as_that_name(name: str) -> None:
    assert yaml.safe_load(scalar(name)) == name


def test_a_broken_installation_says_how_to_mend_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "PACKAGE", tmp_path / "fabric_jobs")
    for find in (shipped.templates_dir, shipped.examples_dir):
        with pytest.raises(NotFound) as caught:
            find()
        assert "pip install" in caught.value.hint


def test_a_wheel_has_them_inside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fabric_jobs/_shipped/agents").mkdir(parents=True)
    (tmp_path / "agents").mkdir()
    monkeypatch.setattr(shipped, "PACKAGE", tmp_path / "fabric_jobs")
    assert shipped.examples_dir() == tmp_path / "fabric_jobs/_shipped/agents"
