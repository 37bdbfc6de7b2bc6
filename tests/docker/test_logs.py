from tests.acceptance.test_logs import *  # noqa: F403
from tests.docker_place import needs_docker

pytestmark = needs_docker

del test_what_a_child_prints_after_the_end_is_kept_in_the_log  # noqa: F821 - children end with their container
