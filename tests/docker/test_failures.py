from tests.acceptance.test_failures import *  # noqa: F403
from tests.docker_place import needs_docker

pytestmark = needs_docker

del test_an_action_without_a_program_is_refused_with_what_to_do  # noqa: F821 - its image has the program of its base
del test_a_skill_that_is_deleted_meanwhile_fails_in_words  # noqa: F821 - its image is still there
del test_programs_have_the_default_signals_whoever_started_the_owner  # noqa: F821 - they are the engine's children
