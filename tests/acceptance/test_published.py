"""A published skill runs from its image, wherever it is invoked."""

from __future__ import annotations

import json
from pathlib import Path

from tests.acceptance.live import Live
from tests.acceptance.shop import Shop
from tests.acceptance.shop import shop_fixture as shop_fixture
from tests.docker_place import BASE_IMAGE, image_names, needs_registry, remove_images

pytestmark = needs_registry

PROGRAM = """\
import json, sys
print(json.loads(sys.argv[1])["payload"], end="")
"""


def test_a_published_skill_runs_from_the_image_that_was_pushed(shop: Shop, tmp_path: Path) -> None:
    live = shop.live
    shop.add_registry()
    shop.skill("one")
    directory = live.root / "skills" / "one" / "actions" / "one"
    (directory / "Dockerfile").write_text(
        f'FROM {BASE_IMAGE}\nADD main.py /app/main.py\nENTRYPOINT ["python3", "/app/main.py"]\n'
    )
    (directory / "main.py").write_text(PROGRAM)
    path = live.root / "skills" / "one" / "skill.yaml"
    path.write_text(path.read_text().replace('"type": "job"', '"type": "job", "response": "stdout"'))
    live.agent("whole", ("input", "one"), ("one", "output"))
    shop.build()
    shop.publish()
    pinned = shop.pinned("one")
    remove_images(shop.namespace)
    address = live.published()
    away = Live(tmp_path / "away" / "w")
    words = ("skills", "invoke", "one", "--output", "json", "--payload", json.dumps("from afar"))
    place = ("--url", address.url, "--token", address.token)
    record = away.ok(*words, *place).value
    assert (record["response"], record["executor"]) == ("from afar", "docker")
    assert image_names(shop.namespace) == pinned  # it was pulled by its digest
    assert not away.state.exists()
    away.close()

    next_command = live.ok("workspaces", "publish", "--quiet", *place).err.splitlines()[-1]
    assert next_command == f"Next: fabric-jobs agents invoke whole --payload '{{}}' --url {address.url}"
    agent = ("agents", "invoke", "whole", *words[3:], "-q")  # from the workspace that it was published from
    again = live.ok(*agent, *place)
    assert (again.value["executor"], again.err) == ("docker", "")
    (directory / "main.py").write_text("print('changed since')")
    changed = live.ok(*agent, *place)
    assert changed.value["response"] == "from afar"
    assert "skill 'one' runs a different program for action 'one' there" in changed.err
    assert shop.pinned("one") == pinned
    assert (shop.version("skill", "one"), shop.version("agent", "whole")) == (1, 1)
