"""Builds the images of a workspace: first a plan, then the missing images, in parallel."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fabric_jobs.definitions import Action
from fabric_jobs.docker import images as engine_images
from fabric_jobs.docker.engine import DockerEngine
from fabric_jobs.docker.images import Image
from fabric_jobs.errors import InvalidDefinition, InvalidInput, PlaceUnavailable, Problem
from fabric_jobs.images import docker_command
from fabric_jobs.images.building import ImageBuild, Running, build_all, holds_state
from fabric_jobs.images.context import HASH_LENGTH, content_hash
from fabric_jobs.images.docker_command import Builder
from fabric_jobs.images.registries import Registry, active
from fabric_jobs.settings import cpu_count
from fabric_jobs.user_files import built_from
from fabric_jobs.workspace.images import (
    LABEL_ACTION,
    LABEL_CONTENT,
    LABEL_INPUTS,
    LABEL_SKILL,
    context_of,
    image_of,
    other_name_of,
    reference_of,
)
from fabric_jobs.workspace.tree import SkillFile, Workspace

AT_ONCE = 4  # more builds side by side wait for the same disk
WAITING, BUILDING, BUILT, UNCHANGED, FAILED = "waiting", "building", "built", "unchanged", "failed"


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """The options of every build."""

    arguments: tuple[str, ...] = ()  # NAME=VALUE, or NAME with the value from the environment
    platform: str = ""
    use_cache: bool = True

    def __post_init__(self) -> None:
        for argument in self.arguments:
            if not argument.partition("=")[0].strip():
                raise InvalidInput(f"'{argument}' is not a build argument.", hint="Write it as NAME=VALUE, or as NAME.")
        if "," in self.platform:
            raise InvalidInput(
                f"the engine cannot load an image for several platforms ({self.platform}).",
                hint="Build once for each platform.",
            )

    def fingerprint(self) -> str:
        """Return a hash of the options: they change an image even if its files stay the same."""
        from hashlib import sha256

        values = {}
        for argument in self.arguments:
            name, given, value = argument.partition("=")
            values[name] = value if given else os.environ.get(name)
        return sha256(repr((sorted(values.items()), self.platform)).encode()).hexdigest()[:HASH_LENGTH]


@dataclass(frozen=True, kw_only=True)
class PlannedBuild:
    """One image of the plan."""

    skill: str
    action: str
    build: ImageBuild

    @property
    def reference(self) -> str:
        """The name that means exactly this content."""
        return self.build.names[0]


@dataclass
class BuildStatus:
    """The progress of the build of an image; callers read it, only `carry_out` changes it."""

    target: PlannedBuild
    state: str = WAITING
    step: str = ""
    seconds: float = 0.0
    failure: str = ""  # the text to show for a failed build


Watch = Callable[[Sequence[BuildStatus]], None]
OLD_BUILDER = (
    "no docker command here has BuildKit, so Docker's old builder is used, which is slower and supports fewer features; "
    "install the plugin 'buildx'."
)


def plan(root: Path, skill: str | None, options: BuildOptions) -> tuple[PlannedBuild, ...]:
    """Return what to build: every action of all skills but APIs, or of one skill. No engine is asked.

    Raise NotFound if there is no skill, or none of that name; InvalidDefinition, with all problems, if a definition is
    wrong, a Dockerfile is missing, a file cannot be read, or an image name is invalid.
    """
    registry = active()
    targets: list[PlannedBuild] = []
    problems: list[Problem] = []
    for one in (found for found in Workspace(root).skills(skill) if not found.is_api):
        for index, action in enumerate(one.skill.actions):
            try:
                targets += [] if _is_from_elsewhere(one, action) else [_target(one, action, registry, options)]
            except InvalidDefinition as error:
                problems += error.problems
            except InvalidInput as error:  # its name is invalid
                problems.append(
                    Problem.of_file(one.path, f"{error.message} {error.hint}", path=f"actions[{index}].image")
                )
    problems = problems or _same_names(targets)
    if problems:
        raise InvalidDefinition(tuple(problems))
    return tuple(targets)


def carry_out(
    targets: Sequence[PlannedBuild], builder: Callable[[], Builder], watch: Watch, warn: Callable[[str], None]
) -> tuple[BuildStatus, ...]:
    """Build what the engine does not have yet, and return the result of each build.

    `builder` is called only if there is something to build. `watch` is called whenever something may have changed, `warn`
    with advice for the user. After a failure the other builds continue. Raise PlaceUnavailable if the engine cannot be
    used.
    """
    rows = tuple(BuildStatus(target) for target in targets)
    docker_command.commands()  # raises a helpful error if docker is missing
    engine = DockerEngine()
    there = engine_images.find(engine, [name for target in targets for name in target.build.names])
    for row in rows:
        image = there.get(row.target.reference)
        if image is not None and _is_unchanged(row.target, image):
            _point_names(engine, row.target, image)
            row.state = UNCHANGED
    watch(rows)
    groups = _by_reference(row for row in rows if row.state == WAITING)
    if groups:
        with_what = builder()
        if not with_what.is_buildkit:
            warn(OLD_BUILDER)
            _check_without_buildkit(group[0].target for group in groups.values())
        _build(engine, groups, with_what, lambda: watch(rows))
    return rows


def _check_without_buildkit(targets: Iterable[PlannedBuild]) -> None:
    for target in targets:
        if holds_state(target.build):
            raise PlaceUnavailable(
                f"Docker's old builder would put the state of this workspace into the image of '{target.action}'.",
                hint="Install the plugin 'buildx', or move the skill to skills/NAME/ of a workspace.",
            )


def _build(
    engine: DockerEngine, groups: dict[str, list[BuildStatus]], builder: Builder, watch: Callable[[], None]
) -> None:
    builds = [group[0].target.build for group in groups.values()]
    at_once = min(cpu_count(), AT_ONCE)
    has_failed = False
    with closing(build_all(builds, builder, at_once=at_once)) as steps:
        for running in steps:
            for one in running:
                for row in groups[one.build.names[0]]:
                    _update(engine, row, one)
                has_failed = has_failed or bool(one.code)
            watch()
    if has_failed:
        engine.ping()  # raises a helpful error if the engine went away


def _update(engine: DockerEngine, row: BuildStatus, running: Running) -> None:
    row.seconds, row.step = running.seconds, running.output.step
    if running.code is None:
        row.state = BUILDING
    elif running.code:
        row.state, row.failure = FAILED, running.output.failure() or f"docker ended with exit code {running.code}"
    elif _has_changed(row.target):
        row.state, row.failure = FAILED, "its files changed during the build; build it again"
        engine_images.remove(engine, row.target.build.names)
    else:
        row.state = BUILT


def _has_changed(target: PlannedBuild) -> bool:
    """Tell whether the files have changed since the plan, or can no longer be read."""
    try:
        return content_hash(target.build.directory) != target.build.labels[LABEL_CONTENT]
    except InvalidDefinition:
        return True


def _target(found: SkillFile, action: Action, registry: Registry | None, options: BuildOptions) -> PlannedBuild:
    reference = reference_of(found, action, registry)
    labels = {
        LABEL_SKILL: found.skill.name,
        LABEL_ACTION: action.name,
        LABEL_CONTENT: reference.rpartition(":")[2],
        LABEL_INPUTS: options.fingerprint(),
    }
    build = ImageBuild(
        directory=context_of(found, action),
        names=(reference, other_name_of(found, action, registry)),
        labels=labels,
        arguments=options.arguments,
        platform=options.platform,
        use_cache=options.use_cache,
    )
    return PlannedBuild(skill=found.skill.name, action=action.name, build=build)


def _is_from_elsewhere(found: SkillFile, action: Action) -> bool:
    """Tell whether an action has no files here and names a third-party image, which is used unchanged."""
    return "/" in image_of(found, action) and not built_from(found.directory, action.name).exists()


def _same_names(targets: Sequence[PlannedBuild]) -> list[Problem]:
    """Return the problems of different images with the same name, which the last build to end would get."""
    first: dict[str, PlannedBuild] = {}
    problems = []
    for target in targets:
        name = target.build.names[1]
        other = first.setdefault(name, target)
        if other.reference != target.reference:
            message = (
                f"two images are called '{name}': that of the action '{other.action}' of the skill '{other.skill}', "
                f"and that of '{target.action}' of '{target.skill}'. Give one of them another 'image'"
            )
            problems.append(Problem(file="", line=0, column=0, path="", message=message))
    return problems


def _is_unchanged(target: PlannedBuild, image: Image) -> bool:
    return target.build.use_cache and image.labels.get(LABEL_INPUTS) == target.build.labels[LABEL_INPUTS]


def _point_names(engine: DockerEngine, target: PlannedBuild, image: Image) -> None:
    """Point all names of an existing image at it, since another content may have taken them meanwhile."""
    for name in target.build.names:
        if not image.is_called(name):
            engine_images.tag(engine, image.image_id, name)


def _by_reference(rows: Iterable[BuildStatus]) -> dict[str, list[BuildStatus]]:
    """Group the rows that are one image: same name, same content."""
    groups: dict[str, list[BuildStatus]] = {}
    for row in rows:
        groups.setdefault(row.target.reference, []).append(row)
    return groups
