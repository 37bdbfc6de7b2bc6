from tests.acceptance.test_skills import *  # noqa: F403
from tests.docker_place import needs_docker

pytestmark = needs_docker

del test_the_program_comes_from_the_dockerfile_without_a_command  # noqa: F821 - its base image is in no registry of ours
del test_skills_and_agents_list_show_what_is_broken  # noqa: F821 - a broken workspace is not built
