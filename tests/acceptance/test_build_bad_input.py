"""`workspaces build` when docker fails. The docker commands here are scripts that print what docker would."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.live import Live, Ran
from tests.engine_stub import EngineStub
from tests.images.workspaces import write_skill

HEAD = """#!/bin/sh
echo "$*" >> "$0.log"
case "$*" in
--version) echo 'Docker version 20.10.24, build 297e128' ;;
build*) {build} ;;
save*) {save} ;;
esac
"""
SAVE = "echo archive of $#; shift; echo $*"
STEP = "echo '#5 [2/2] RUN make'; echo '#5 0.1 making'"


def docker(directory: Path, *, build: str = STEP, save: str = SAVE) -> str:
    """Write a docker command; return a PATH with only this one."""
    directory.mkdir(exist_ok=True)
    path = directory / "docker"
    path.write_text(HEAD.format(build=build, save=save))
    path.chmod(0o755)
    return str(directory)


def log(directory: Path) -> list[str]:
    return (directory / "docker.log").read_text().splitlines()


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineStub]:
    """An engine without images."""
    with EngineStub(tmp_path_factory.mktemp("engine")) as made:
        yield made


@pytest.fixture
def place(live: Live, engine: EngineStub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory for the command. The workspace has the skill `one`, and the user's configuration is ignored."""
    live.environment["DOCKER_HOST"] = engine.url
    for variable in ("DOCKER_CONFIG", "FABRIC_JOBS_CONFIG_DIR"):
        live.environment[variable] = str(tmp_path_factory.mktemp("config"))
    write_skill(live.root, "one")
    return tmp_path_factory.mktemp("bin")


def test_no_docker_command(live: Live, place: Path) -> None:
    said = live.fails(5, "workspaces", "build", PATH=str(place))
    assert said.startswith("Error: there is no docker command on PATH.\nInstall Docker")
    assert "docker buildx build --load" in live.ok("workspaces", "build", "--print", PATH=str(place)).out


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"DOCKER_HOST": "unix:///nowhere/docker.sock"},
            "the Docker engine at unix:///nowhere/docker.sock does not answer: No such",
        ),
        ({"DOCKER_HOST": "", "DOCKER_CONTEXT": "far"}, "there is no docker context 'far'."),
    ],
    ids=["away", "context"],
)
def test_an_engine_that_cannot_be_used(live: Live, place: Path, variables: dict[str, str], said: str) -> None:
    error = live.fails(5, "workspaces", "build", PATH=docker(place), **variables)
    assert f"Error: {said}" in error
    assert "docker context" in error
    assert "Traceback" not in error
    assert not [line for line in log(place) if line.startswith("build")]


def test_an_engine_that_goes_away_during_the_build(live: Live, place: Path, engine: EngineStub) -> None:
    build = f"{STEP}; /bin/rm {engine.url.removeprefix('unix://')}; exit 1"
    error = live.fails(5, "workspaces", "build", PATH=docker(place, build=build))
    assert "the Docker engine does not answer" in error
    assert "Start it" in error


def test_a_full_disk_is_told_in_dockers_words_and_the_next_try_builds(live: Live, place: Path) -> None:
    full = "#5 ERROR: write /var/lib/docker/overlay2/x: no space left on device"
    ran = live.run("workspaces", "build", PATH=docker(place, build=f"{STEP}; echo '{full}'; exit 1"))
    assert ran.code == 1
    assert "making\nwrite /var/lib/docker/overlay2/x: no space left on device\n" in ran.err
    assert "Error: 1 of 1 images could not be built: one." in ran.err
    assert "failed" in ran.out
    assert "built" in live.ok("workspaces", "build", PATH=docker(place)).out


@pytest.mark.parametrize("change", ["echo >> {0}/main.py", "rm {0}/Dockerfile"], ids=["other", "gone"])
def test_files_that_change_while_they_are_built_are_no_image(
    live: Live, place: Path, engine: EngineStub, change: str
) -> None:
    directory = live.root / "skills" / "one" / "actions" / "one"
    environment = {"PATH": f"{docker(place, build=change.format(directory))}:{os.defpath}"}
    error = live.fails(1, "workspaces", "build", **environment)
    assert "its files changed during the build" in error
    assert engine.asked[-2:] == [each for each in engine.asked if each.startswith("DELETE /v1.41/images/one:")]
    (directory / "Dockerfile").write_text("FROM scratch\n")
    live.ok("workspaces", "build", PATH=docker(place))


def test_one_that_fails_lets_the_others_go_on(live: Live, place: Path) -> None:
    write_skill(live.root, "two")
    write_skill(live.root, "three")
    build = f'{STEP}; case "$*" in *"two:latest"*) echo "#5 ERROR: broken"; exit 1 ;; esac'
    ran = live.run("workspaces", "build", "--output", "json", PATH=docker(place, build=build))
    assert ran.code == 1
    assert {row["skill"]: row["state"] for row in ran.value} == {"one": "built", "two": "failed", "three": "built"}
    assert ran.err.count("making\n") == 1
    assert "1 of 3 images could not be built: two." in ran.err
    assert ran.err.endswith("fabric-jobs workspaces build --skill two\n")


def test_a_missing_dockerfile_stops_all_before_anything_is_built(live: Live, place: Path) -> None:
    write_skill(live.root, "two", dockerfile=None)
    error = live.fails(4, "workspaces", "build", PATH=docker(place))
    assert "skills/two/actions/two/Dockerfile: error: the action 'two' of the skill 'two' has no Dockerfile" in error
    assert log(place) in ([], ["--version"])


def test_quiet_tells_of_failures_only(live: Live, place: Path) -> None:
    assert live.ok("workspaces", "build", "--quiet", PATH=docker(place)).err == "Next: fabric-jobs workspaces publish\n"
    build = f"{STEP}; echo '#5 ERROR: broken'; exit 1"
    assert "making" in live.fails(1, "workspaces", "build", "--quiet", PATH=docker(place, build=build))


def test_without_buildkit_the_old_builder_is_used_and_told(live: Live, place: Path) -> None:
    path = docker(place, build='[ "$DOCKER_BUILDKIT" = 0 ] && echo "Step 1/1 : FROM x"')
    (place / "docker").write_text((place / "docker").read_text().replace("20.10.24", "28.2.2"))
    assert live.ok("workspaces", "build", PATH=path).err.count("Warning: no docker command here has BuildKit") == 1


def test_build_arguments_of_the_variable_are_good_for_every_build(live: Live, place: Path) -> None:
    environment = {"PATH": docker(place), "FABRIC_JOBS_BUILD_ARGS": "A=1  B=2\nHOME"}
    assert (
        "--build-arg A=1 --build-arg B=2 --build-arg HOME --label"
        in live.ok("workspaces", "build", "--print", **environment).out
    )
    typed = live.ok("workspaces", "build", "--print", "--build-arg", "A=3 4", **environment).out
    assert "--build-arg A=1 --build-arg B=2 --build-arg HOME --build-arg 'A=3 4' --label" in typed


def test_print_runs_no_build(live: Live, place: Path) -> None:
    printed = live.ok("workspaces", "build", "--print", PATH=docker(place)).out
    directory = live.root / "skills" / "one" / "actions" / "one"
    assert printed.startswith("DOCKER_BUILDKIT=1 docker build --progress=plain --label fabric-jobs.skill=one")
    assert printed.endswith(f"--tag one:latest {directory}\n")
    assert set(log(place)) <= {"--version"}


@pytest.mark.parametrize("folder", ["empty", "empty/skills", "nowhere"])
def test_a_folder_without_skills(live: Live, place: Path, folder: str) -> None:
    (live.root / "empty" / "skills").mkdir(parents=True)
    assert live.fails(3, "workspaces", "build", folder, PATH=os.defpath)


def test_an_unknown_skill_is_told_with_the_nearest(live: Live, place: Path) -> None:
    assert "Did you mean 'one'?" in live.fails(3, "workspaces", "build", "--skill", "onne", PATH=docker(place))


# Loading into a cluster


def loading(live: Live, directory: Path, load: str, *words: str, **scripts: str) -> Ran:
    """Build with a command that loads the images into a cluster."""
    path = f"{docker(directory, **scripts)}{os.pathsep}{os.defpath}"
    return live.run("workspaces", "build", *words, PATH=path, FABRIC_JOBS_KUBERNETES_LOAD=load)


def test_built_images_are_loaded_into_a_cluster_in_one_archive(live: Live, place: Path) -> None:
    write_skill(live.root, "two")
    ran = loading(live, place, "cat > loaded")
    assert ran.code == 0
    assert "Loading 2 images into the cluster with 'cat > loaded' …\n" in ran.err
    head, names = (live.root / "loaded").read_text().splitlines()
    assert head == "archive of 3"
    assert [name.partition(":")[0] for name in names.split()] == ["one", "two"]


def test_quiet_loading_says_nothing(live: Live, place: Path) -> None:
    assert loading(live, place, "cat > loaded", "--quiet").err == "Next: fabric-jobs workspaces publish\n"
    assert (live.root / "loaded").exists()


def test_a_load_that_fails_is_told_in_the_words_of_its_command(live: Live, place: Path) -> None:
    ran = loading(live, place, "echo no cluster here >&2; exit 7", save="yes")  # its command reads nothing
    assert ran.code == 5
    assert "'echo no cluster here >&2; exit 7' ended with exit code 7: no cluster here.\n" in ran.err
    assert "Correct FABRIC_JOBS_KUBERNETES_LOAD" in ran.err


def test_images_that_cannot_be_saved_are_told_in_dockers_words(live: Live, place: Path) -> None:
    ran = loading(live, place, "cat > loaded", save="echo no space left on device >&2; exit 1")
    assert ran.code == 5
    assert "'docker save' ended with exit code 1: no space left on device." in ran.err


def test_what_docker_says_comes_before_the_loader_that_got_half_an_archive(live: Live, place: Path) -> None:
    ran = loading(live, place, "cat; echo unexpected EOF; exit 1", save="echo no such image >&2; exit 1")
    assert ran.code == 5
    assert "'docker save' ended with exit code 1: no such image.\nCorrect what docker says" in ran.err


@pytest.mark.parametrize("executor", ["docker", "kubernetes"])
def test_a_demo_loads_images_only_where_it_runs_in_a_cluster(live: Live, place: Path, executor: str) -> None:
    path = f"{docker(place)}{os.pathsep}{os.defpath}"
    words = ("demo", "there", "--executor", executor)
    ran = live.run(*words, PATH=path, FABRIC_JOBS_KUBERNETES_LOAD="cat > loaded")
    assert "its image was not built" in ran.err  # the engine here has none
    assert (live.root / "loaded").exists() is (executor == "kubernetes")


def test_nothing_is_loaded_when_a_build_has_failed(live: Live, place: Path) -> None:
    ran = loading(live, place, "touch loaded", build=f"{STEP}; exit 1")
    assert ran.code == 1
    assert not (live.root / "loaded").exists()
