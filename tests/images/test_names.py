"""Names of images."""

from __future__ import annotations

import pytest

from fabric_jobs.errors import InvalidInput
from fabric_jobs.images.names import default_image, reference, repository, tag
from fabric_jobs.images.registries import Registry

PRIVATE = Registry(name="private", url="registry.example.org:5000", namespace="team/jobs")


@pytest.mark.parametrize(
    ("image", "registry", "expected"),
    [
        ("word-count", None, "word-count"),
        ("word-count", PRIVATE, "registry.example.org:5000/team/jobs/word-count"),
        ("Word-Count", PRIVATE, "registry.example.org:5000/team/jobs/word-count"),
        ("cortex/word-count", PRIVATE, "cortex/word-count"),
        ("docker.io/library/python", PRIVATE, "docker.io/library/python"),
        ("localhost:5000/word-count", PRIVATE, "localhost:5000/word-count"),
        ("localhost:5000/word-count:1.2", PRIVATE, "localhost:5000/word-count"),
        ("word-count:1.2", PRIVATE, "registry.example.org:5000/team/jobs/word-count"),
        ("a__b.c---d", None, "a__b.c---d"),
        ("x", Registry(name="bare", url="localhost:5000"), "localhost:5000/x"),
        (
            "x",
            Registry(name="scheme", url="https://registry.example.org/", namespace="/me/"),
            "registry.example.org/me/x",
        ),
        ("x", Registry(name="empty", url="", namespace="me"), "me/x"),
        ("x", Registry(name="ipv6", url="[::1]:5000"), "[::1]:5000/x"),
    ],
    ids=lambda value: value.name if isinstance(value, Registry) else str(value or "none").replace("/", "|"),
)
def test_a_repository_is_the_registrys_unless_the_image_has_one(
    image: str, registry: Registry | None, expected: str
) -> None:
    assert repository(image, registry) == expected


@pytest.mark.parametrize(
    ("image", "expected"),
    [("x", "latest"), ("x:1.2", "1.2"), ("localhost:5000/x", "latest"), ("localhost:5000/x:V_1", "V_1")],
)
def test_a_tag_of_the_image_takes_the_place_of_latest(image: str, expected: str) -> None:
    assert tag(image) == expected


def test_a_reference_ends_with_the_hash_of_the_content() -> None:
    assert reference("x:1", PRIVATE, "abc123") == "registry.example.org:5000/team/jobs/x:abc123"


@pytest.mark.parametrize(
    "image",
    [
        "",
        "a b",
        "-x",
        "x-",
        "a..b",
        "a/",
        "/a",
        "a//b",
        "ü",
        "x:",
        "x:-1",
        "x:" + "1" * 129,
        "x@sha256:" + "0" * 64,
        "a" * 256,
    ],
    ids=lambda image: f"{image[:12]!r}-{len(image)}",
)
def test_what_no_image_can_be_called_is_refused_with_what_to_do(image: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        reference(image, None, "abc123")
    assert "skill.yaml" in caught.value.hint


def test_a_wrong_registry_is_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        repository("x", Registry(name="odd", url="a b"))
    assert "the registry 'odd'" in caught.value.hint


@pytest.mark.parametrize(
    ("skill", "action", "expected"),
    [("x", "x", "x"), ("x", "y", "x-y"), ("cortex/x", "cortex/x", "cortex-x"), ("cortex/x", "y", "cortex-x-y")],
    ids=["one", "two", "one-with-slash", "two-with-slash"],
)
def test_an_action_without_image_gets_one_of_its_own(skill: str, action: str, expected: str) -> None:
    assert default_image(skill, action) == expected
