"""Batch and Task APIs whose workers are containers, in containers."""

from tests.acceptance.test_container_apis import *  # noqa: F403
from tests.docker_place import needs_docker

pytestmark = needs_docker
