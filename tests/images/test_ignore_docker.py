"""What .dockerignore excludes, compared with Docker itself, also for random patterns."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fabric_jobs.errors import InvalidDefinition
from fabric_jobs.images.context import context_paths
from fabric_jobs.images.docker_command import Builder, builder
from tests.docker_place import needs_docker
from tests.images.contexts import TABLE, write_context

pytestmark = needs_docker


def sent(directory: Path, found: Builder) -> set[str] | None:
    """Return the files and directories that an engine puts into the image; None if it rejects the patterns."""
    ended = subprocess.run(
        [*found.words, "--quiet", "--output", "type=tar,dest=-", str(directory)],
        capture_output=True,
        env={**os.environ, **found.environment},
        check=False,
    )
    if ended.returncode:
        assert b"pattern" in ended.stderr, ended.stderr.decode()
        return None
    with tarfile.open(fileobj=io.BytesIO(ended.stdout)) as archive:
        return {member.name.rstrip("/") for member in archive}


def ours(directory: Path) -> set[str] | None:
    """Return the same by our rules, with the directories of each file."""
    try:
        found = set(context_paths(directory))
    except InvalidDefinition:
        return None
    return found | {str(above) for path in found for above in list(Path(path).parents)[:-1]}


def tool() -> Builder:
    """Return the builder, or skip: the old one cannot export its context."""
    found = builder()
    if not found.is_buildkit:
        pytest.skip("no docker command here has BuildKit")
    return Builder(words=tuple(word for word in found.words if word != "--load"), environment=found.environment)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_context(tmp_path_factory.mktemp("context"))


@pytest.mark.parametrize("text", [text for text, _ in TABLE], ids=repr)
def test_docker_leaves_out_the_same(context: Path, text: str) -> None:
    (context / ".dockerignore").write_text(text)
    assert sent(context, tool()) == ours(context)


WORDS = ("a", "b", "c", "x.py", "*", "**", "?", "[ab]", "[^a]", "*.py", "x.*", ".env", "..", ".", "link", "a b")
patterns = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map("/".join)
excepted = st.tuples(st.sampled_from(("", "", "!")), patterns).map("".join)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_docker_agrees_on_any_patterns(context: Path, data: st.DataObject) -> None:
    found = tool()
    # Older versions treat exceptions differently, so with them only patterns are compared.
    lines = data.draw(st.lists(excepted if "buildx" in found.words else patterns, min_size=1, max_size=4))
    (context / ".dockerignore").write_text("\n".join(lines))
    assert sent(context, found) == ours(context)
