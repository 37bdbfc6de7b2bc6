from tests.acceptance.test_routing import *  # noqa: F403
from tests.docker_place import needs_docker

pytestmark = needs_docker

del test_a_skill_with_two_inputs_runs_what_each_of_them_names  # noqa: F821 - its actions have no directories to build
