from tests.acceptance.test_plain_http import *  # noqa: F403
from tests.docker_place import needs_docker

pytestmark = needs_docker
