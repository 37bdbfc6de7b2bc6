from tests.acceptance.test_secrets import *  # noqa: F403
from tests.docker_place import needs_docker

pytestmark = needs_docker
