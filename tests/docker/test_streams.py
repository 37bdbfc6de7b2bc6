from tests.acceptance.test_streams import *  # noqa: F403
from tests.docker_place import needs_docker

pytestmark = needs_docker
