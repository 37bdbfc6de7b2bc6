from tests.acceptance.test_calls import *  # noqa: F403
from tests.docker_place import needs_docker

pytestmark = needs_docker

del test_a_daemon_whose_wrapper_was_killed_does_not_outlive_the_next_owner  # noqa: F821 - a container has no wrapper
