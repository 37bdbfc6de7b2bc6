"""A skill's packages, as its users see them."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.acceptance.live import Live, until
from tests.wheels import requirements, write_wheel

PROGRAM = "import needed; print(needed.VERSION)"


@pytest.fixture(autouse=True)
def cache(live: Live, tmp_path: Path) -> None:
    """Use an empty cache of environments."""
    live.environment["FABRIC_JOBS_CACHE"] = str(tmp_path / "cache")
    live.environment["no_proxy"] = "*"
    live.environment.pop("PYTHONDONTWRITEBYTECODE", None)


def ask(live: Live, skill: str, text: str) -> None:
    """Write the requirements.txt of a skill."""
    (live.root / f"skills/{skill}/actions/{skill}/requirements.txt").write_text(text)


def test_many_tasks_share_an_environment_and_pip_is_no_part_of_the_response(live: Live, tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels", "needed", "1.5")
    live.skill("source", "for number in range(6): send_message(number, 'response')")
    live.skill("needy", PROGRAM, response="combined", workers=6)
    ask(live, "needy", requirements(tmp_path / "wheels", "needed"))
    live.agent("both", ("input", "source"), ("source", "needy"), ("needy", "output"))
    ran = live.ok("agents", "invoke", "both", "--payload", "1", "--output", "json")
    assert ran.value["response"] == ["1.5\n"] * 6
    (cached,) = live.ok("environments", "list", "--output", "json").value
    assert (cached["state"], cached["requirements"]) == ("complete", "needed")
    assert "installing" not in live.ok("skills", "invoke", "needy", "--payload", "1").err
    assert "1 environment" in live.ok("environments", "prune", "--all").err
    assert "no environments" in live.ok("environments", "list").err


def test_what_cannot_be_installed_fails_with_words_of_pip(live: Live) -> None:
    live.skill("needy", PROGRAM)
    ask(live, "needy", "--no-index\nno-such-package==7\n")
    record, said = live.fail("needy")
    assert record["error"]["reason"] == "its requirements could not be installed (exit code 1)"
    assert "No matching distribution found for no-such-package==7" in record["error"]["lastLines"][-1]
    assert "its requirements could not be installed" in said


def test_an_installation_is_seen_and_can_be_cancelled(live: Live) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # an index that never answers
        live.skill("needy", PROGRAM)
        ask(live, "needy", f"--index-url http://127.0.0.1:{silent.getsockname()[1]}/\nneeded\n")
        activation = live.detach("needy")
        silent.settimeout(60)
        connection, _ = silent.accept()
        assert live.progress(activation)["needy"]["note"].startswith("installing requirements")
        assert "installing requirements" in live.ok("tasks", "list").out
        assert live.ok("tasks", "show", "needy", "--output", "json").value["note"].startswith("installing")
        live.ok("activations", "cancel", activation)
        assert live.wait(activation)["status"] == "CANCELLED"
        connection.close()
    until(lambda: [row["state"] for row in listed(live)] == ["incomplete"], "pip is gone")


def listed(live: Live) -> list[dict[str, object]]:
    """Return the environments."""
    found: list[dict[str, object]] = live.ok("environments", "list", "--output", "json").value
    return found


def test_what_of_a_dockerfile_is_not_carried_out_is_said_and_the_rest_is_done(live: Live) -> None:
    live.skill("image", "print(os.environ['GREETING'], os.getcwd() == os.path.dirname(__file__))", response="combined")
    definition = live.root / "skills/image/skill.yaml"
    definition.write_text(definition.read_text().replace('"command": ["python", "main.py"], ', ""))
    (definition.parent / "actions/image/Dockerfile").write_text(
        "FROM python:3\nENV GREETING='good day'\nWORKDIR /app\nCOPY . .\nRUN apt-get install -y git\nCMD python /app/main.py\n"
    )
    ran = live.ok("skills", "invoke", "image", "--payload", "1")
    assert ran.out == "good day True\n"
    assert "image: Dockerfile line 5: apt-get is not run on this machine" in ran.err
    assert "apt-get" in live.ok("tasks", "show", "image", "--output", "json").value["remarks"][0]


def test_a_python_that_is_not_here_is_an_error(live: Live) -> None:
    live.skill("old", "print(1)", python="2.1")
    assert "there is no Python '2.1' here" in live.fail("old")[1]
