"""Limits of open files: the owner's is raised as far as possible, programs keep their user's."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors import descriptors
from tests.executors.drivers import LocalDriver
from tests.executors.test_local import run, spec_of

WORDS = ("/bin/sh", "-c", "ulimit -Sn; ulimit -Hn")


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(descriptors, "_of_user", [])
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_owner_has_the_hard_limit_and_programs_have_the_users(limits: tuple[int, int], tmp_path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, limits[1]))
    descriptors.raise_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 500
    driver = LocalDriver(tmp_path)
    try:
        _, stdout, _ = run(driver, spec_of(tmp_path, *WORDS))
    finally:
        driver.close()
    assert stdout.split()[0] == "500"


def test_a_limit_that_cannot_be_raised_is_that_of_programs_too(limits: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    descriptors.raise_limit()
    assert descriptors.of_programs() is None


def test_attempts_are_admitted_while_enough_is_left(limits: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
    for attempts in range(10):
        descriptors.admit(attempts, 3)
    with pytest.raises(ExecutorUnavailable, match="10 attempts use all 64 files"):
        descriptors.admit(10, 3)
    descriptors.admit(0, 1000)  # one attempt is always admitted
