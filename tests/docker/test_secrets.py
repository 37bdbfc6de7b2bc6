from tests.acceptance.test_secrets import *  # noqa: F403
from tests.docker_place import needs_docker

pytestmark = needs_docker

# These show nothing of a place where programs run.
del test_set_list_and_delete  # noqa: F821
del test_a_value_keeps_its_inner_line_breaks_and_blanks  # noqa: F821
del test_at_a_terminal_the_value_is_asked_for_twice_and_not_shown  # noqa: F821
del test_an_external_api_gets_the_value  # noqa: F821
del test_an_address_that_is_a_secret_is_hidden_in_errors  # noqa: F821
del test_without_its_secret_nothing_is_invoked  # noqa: F821
del test_a_wrong_key_ends_the_start_and_changes_nothing  # noqa: F821
del test_the_key_may_be_elsewhere  # noqa: F821
del test_a_killed_owner_has_what_was_acknowledged  # noqa: F821
del test_a_backup_has_the_secrets_but_not_their_key  # noqa: F821
del test_an_owner_without_secrets_does_not_load_their_library  # noqa: F821
