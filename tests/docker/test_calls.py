from tests.acceptance.live import until
from tests.acceptance.test_calls import *  # noqa: F403
from tests.acceptance.test_calls import DOUBLE, daemon
from tests.docker.live import DockerLive
from tests.docker_place import needs_docker

pytestmark = needs_docker

del test_a_daemon_whose_shim_was_killed_does_not_outlive_the_next_owner  # noqa: F821 - a container has no shim
del test_an_activation_that_runs_goes_on_with_the_changed_program  # noqa: F821 - an activation keeps its images
# These two look at processes of this machine; their counterparts below look at containers.
del test_the_end_of_an_owner_is_the_end_of_its_daemons  # noqa: F821
del test_a_daemon_whose_program_has_changed_is_started_anew  # noqa: F821


def test_the_end_of_an_owner_is_the_end_of_its_containers_that_listen(live: DockerLive) -> None:
    daemon(live, "each", DOUBLE)
    live.invoke("each", 1)
    assert len(live.containers()) == 1
    live.stop_owner()
    until(lambda: not live.containers(), "the daemon has ended")


def test_a_daemon_whose_image_has_changed_is_started_anew(live: DockerLive) -> None:
    daemon(live, "each", DOUBLE)
    del live.environment[
        "FABRIC_JOBS_IDLE_SECONDS"
    ]  # a daemon with another image is another version, which ends with its owner
    assert live.invoke("each", 2)["response"] == 4
    (old,) = live.containers()
    main = live.root / "skills/each/actions/each/main.py"
    main.write_text(main.read_text().replace("* 2", "* 30"))
    assert live.invoke("each", 2)["response"] == 60
    until(lambda: old not in live.containers(), "the old daemon has ended")
    assert live.invoke("each", 3)["response"] == 90
    assert len(live.containers()) == 1
