"""`workspaces publish` with a real engine, a real registry and a real gateway."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
from pathlib import Path

import pytest

from tests.acceptance.live import names, until
from tests.acceptance.shop import Shop
from tests.acceptance.shop import shop_fixture as shop_fixture
from tests.docker_place import (
    REGISTRY,
    REGISTRY_USER,
    docker,
    needs_registry,
    registry_password,
    remove_images,
)
from tests.registry_proxy import RegistryProxy

pytestmark = needs_registry

NOISE_BYTES = 1_000_000


def digest_of(reference: str) -> str:
    """Return the digest of an image, as reported by the registry itself."""
    said = docker("image", "inspect", "--format", "{{json .RepoDigests}}", reference).stdout
    repository = reference.rpartition(":")[0]
    (digest,) = [name.partition("@")[2] for name in json.loads(said) if name.startswith(f"{repository}@")]
    return str(digest)


def test_images_are_pushed_recorded_and_pinned_and_agents_follow(shop: Shop) -> None:
    shop.add_registry()
    shop.skill("one", "one", "more")
    shop.skill("two")
    shop.live.agent("both", ("input", "one"), ("one", "two"), ("two", "output"))
    shop.build()
    dry = shop.publish("--dry-run")
    assert (shop.lock(), dry["dry_run"], names(dry["skills"], "state")) == (None, True, ["new", "new"])
    assert shop.live.get("/skills")["skills"] == []
    ran = shop.live.ok("workspaces", "publish")
    assert "one more" in ran.err
    assert "pushed" in ran.err
    assert "skill 'one' is deployed" in ran.err
    assert "Next: fabric-jobs agents invoke both --payload '{}' --executor docker" in ran.err
    assert shop.lock()["version"] == 1
    recorded = shop.lock()["skills"]["one"]["actions"]
    for action, image in (("one", "one"), ("more", "one-more")):
        repository = f"{REGISTRY}/{shop.namespace}/{image}"
        assert recorded[action]["image"] == repository
        assert recorded[action]["digest"] == digest_of(f"{repository}:{recorded[action]['tag']}")
        assert recorded[action]["digest"] == digest_of(f"{repository}:latest")
    assert shop.pinned("one") == [
        f"{found['image']}@{found['digest']}" for found in (recorded["one"], recorded["more"])
    ]
    assert names(shop.live.get("/agents")["agents"]) == ["both"]
    name = shop.pinned("two")[0]
    remove_images(shop.namespace)
    assert docker("pull", name, env={**os.environ, **shop.live.environment}).returncode == 0  # it really exists
    docker("image", "rm", name)


def test_publishing_twice_does_nothing_and_says_so(shop: Shop) -> None:
    shop.add_registry()
    shop.skill("one")
    shop.build()
    assert shop.publish()["changed"] is True
    before = (shop.live.root / "fabric-jobs.lock").stat().st_mtime_ns
    ran = shop.live.ok("workspaces", "publish")
    assert "Nothing has changed, so nothing was pushed or saved." in ran.err
    assert "pushing" not in ran.err
    assert shop.publish()["changed"] is False
    assert shop.version("skill", "one") == 1
    assert (shop.live.root / "fabric-jobs.lock").stat().st_mtime_ns == before


def test_a_change_is_refused_until_it_is_built_and_goes_alone_then(shop: Shop) -> None:
    shop.add_registry()
    shop.skill("one")
    shop.skill("two")
    said = shop.live.fails(3, "workspaces", "publish")
    assert "2 images are missing, so nothing is published." in said
    assert "action 'one' of skill 'one' was not built" in said
    shop.build()
    shop.publish()
    before = shop.lock()
    shop.change("one")
    said = shop.live.fails(3, "workspaces", "publish")
    assert "action 'one' of skill 'one' has changed since it was built" in said
    assert "'two'" not in said
    assert "Next: fabric-jobs workspaces build --skill one" in said
    assert shop.lock() == before
    shop.build("--skill", "one")
    found = shop.publish()
    assert [(one["state"], one["images"][0]["push"]) for one in found["skills"]] == [
        ("changed", True),
        ("unchanged", False),
    ]
    assert shop.lock()["skills"]["two"] == before["skills"]["two"]
    assert shop.lock()["skills"]["one"] != before["skills"]["one"]
    assert (shop.version("skill", "one"), shop.version("skill", "two")) == (2, 1)


def test_one_skill_is_published_whole_and_alone(shop: Shop) -> None:
    shop.add_registry()
    shop.skill("one", "one", "more")
    shop.skill("two")
    shop.live.agent("alone", ("input", "one"), ("one", "output"))
    shop.live.agent("both", ("input", "one"), ("one", "two"), ("two", "output"))
    shop.build("--skill", "one")
    (shop.live.root / "types" / "one").mkdir(parents=True)
    (shop.live.root / "types" / "one" / "a.yaml").write_text("")
    ran = shop.live.ok("workspaces", "publish", "--skill", "one")
    assert "Warning: 1 file is left out of types/: the gateway has no types yet." in ran.err
    assert list(shop.lock()["skills"]) == ["one"]
    assert list(shop.lock()["skills"]["one"]["actions"]) == ["more", "one"]
    assert names(shop.live.get("/skills")["skills"]) == ["one"]
    assert names(shop.live.get("/agents")["agents"]) == ["alone"]
    shop.build()
    shop.publish()
    assert list(shop.lock()["skills"]) == ["one", "two"]
    assert names(shop.live.get("/agents")["agents"]) == ["alone", "both"]


def test_without_pushing_skills_are_pinned_by_the_hash_of_their_files(shop: Shop) -> None:
    shop.add_registry()
    shop.skill("one")
    shop.build()
    (image,) = [name for name in shop.images() if not name.endswith(":latest")]
    found = shop.publish("--skip-push")
    assert (found["skills"][0]["images"][0]["digest"], found["skills"][0]["images"][0]["pinned"]) == (None, image)
    assert shop.pinned("one") == [image]
    assert shop.lock() is None
    assert shop.publish("--skip-push")["changed"] is False
    shop.publish()
    assert shop.pinned("one") == [f"{image.rpartition(':')[0]}@{digest_of(image)}"]
    remove_images(shop.namespace)
    nowhere = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    assert shop.publish("--skip-push", **nowhere)["changed"] is False  # what is recorded needs no engine
    assert shop.publish()["changed"] is False


def test_the_active_registry_is_the_one_that_is_used(shop: Shop) -> None:
    shop.add_registry()
    shop.skill("one")
    with RegistryProxy(REGISTRY) as proxy:
        shop.add_registry(proxy.address, "other")
        shop.build()
        shop.publish()
        assert shop.pinned("one")[0].startswith(f"{REGISTRY}/")
        shop.live.ok("workspaces", "registry", "activate", "other")
        assert "was not built" in shop.live.fails(3, "workspaces", "publish")
        shop.build()
        assert shop.publish()["skills"][0]["images"][0]["push"] is True
        assert shop.pinned("one")[0].startswith(f"{proxy.address}/")


def test_without_a_registry_nothing_is_pushed(shop: Shop) -> None:
    shop.skill("one")
    path = shop.live.root / "skills" / "one" / "skill.yaml"
    image = f"{shop.namespace}-one"
    path.write_text(path.read_text().replace('"type": "job"', f'"type": "job", "image": "{image}"'))
    shop.build()
    assert "no registry is active" in shop.live.fails(3, "workspaces", "publish")
    assert shop.publish("--skip-push")["registry"] is None
    assert shop.pinned("one")[0].startswith(f"{image}:")


def test_a_registry_that_is_down_is_one_error_and_the_next_try_succeeds(shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    shop.add_registry(f"localhost:{port}", log_in=False)
    shop.skill("one")
    shop.build()
    said = shop.live.fails(5, "workspaces", "publish")
    assert "connection refused" in said
    assert shop.lock() is None
    assert shop.live.get("/skills")["skills"] == []
    shop.live.ok("workspaces", "registry", "remove", "lab")
    shop.add_registry()
    shop.build()
    assert shop.publish()["changed"] is True


def test_no_login_and_a_wrong_password_are_told(shop: Shop) -> None:
    shop.add_registry(log_in=False)
    shop.skill("one")
    shop.build()
    said = shop.live.fails(5, "workspaces", "publish")
    assert "no basic auth credentials" in said
    assert f"docker login {REGISTRY}" in said
    directory = Path(shop.live.environment["DOCKER_CONFIG"])
    directory.mkdir(exist_ok=True)
    wrong = base64.b64encode(f"{REGISTRY_USER}:wrong".encode()).decode()
    (directory / "config.json").write_text(json.dumps({"auths": {REGISTRY: {"auth": wrong}}}))
    said = shop.live.fails(5, "workspaces", "publish")
    assert "unauthorized" in said
    assert f"docker login {REGISTRY}" in said
    assert shop.lock() is None
    shop.add_registry()  # the same one again, with a login this time
    assert shop.publish()["changed"] is True


def test_a_push_that_is_cut_off_once_goes_on_by_itself(shop: Shop) -> None:
    with RegistryProxy(REGISTRY, cut_after=NOISE_BYTES // 2, then="heal") as proxy:
        shop.add_registry(proxy.address)
        shop.skill("one", noise=NOISE_BYTES)
        shop.build()
        ran = shop.live.ok("workspaces", "publish")
        assert proxy.is_cut.is_set()
        assert "the connection broke, retrying in 5 seconds" in ran.err
        assert shop.pinned("one")[0].startswith(proxy.address)


def test_a_push_that_is_cut_off_for_good_leaves_nothing_behind(shop: Shop) -> None:
    with RegistryProxy(REGISTRY, cut_after=NOISE_BYTES // 2, then="full") as proxy:
        shop.add_registry(proxy.address)
        shop.skill("one", noise=NOISE_BYTES)
        shop.build()
        said = shop.live.fails(5, "workspaces", "publish")
        assert proxy.is_cut.is_set()
        assert f"Error: {proxy.address}/{shop.namespace}/one:" in said
        assert "no space left on device" in said
        assert shop.lock() is None
        assert shop.live.get("/skills")["skills"] == []
        proxy.heal()
        assert shop.publish()["changed"] is True
        assert shop.lock()["skills"]["one"]["actions"]["one"]["image"].startswith(proxy.address)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_push_records_nothing_and_the_next_one_goes_on(shop: Shop, number: signal.Signals) -> None:
    with RegistryProxy(REGISTRY, cut_after=NOISE_BYTES // 2, then="stall") as proxy:
        shop.add_registry(proxy.address)
        shop.skill("one", noise=NOISE_BYTES)
        shop.build()
        started = shop.live.start("workspaces", "publish")
        until(proxy.is_cut.is_set, "the push is in the middle")
        started.signal(number)
        ran = started.finish()
        assert (ran.code, ran.err.splitlines()[-1]) == (128 + number, "Interrupted.")
        assert shop.lock() is None
        assert shop.live.get("/skills")["skills"] == []
        proxy.heal()
        assert shop.publish()["changed"] is True


def test_an_image_that_was_removed_after_the_build_is_refused(shop: Shop) -> None:
    shop.add_registry()
    shop.skill("one")
    shop.build()
    remove_images(shop.namespace)
    assert "was not built" in shop.live.fails(3, "workspaces", "publish")
    shop.build()
    assert shop.publish()["changed"] is True


def test_what_was_built_anew_of_the_same_files_is_pushed_again(shop: Shop) -> None:
    shop.add_registry()
    shop.skill("one")
    shop.build()
    shop.publish()
    before = shop.lock()
    shop.build("--no-cache")
    found = shop.publish()
    assert found["skills"][0]["images"][0]["push"] is True
    assert shop.lock()["skills"]["one"]["actions"]["one"]["tag"] == before["skills"]["one"]["actions"]["one"]["tag"]
    assert shop.publish()["changed"] is False


def test_no_engine_is_told(shop: Shop) -> None:
    shop.add_registry()
    shop.skill("one")
    said = shop.live.fails(5, "workspaces", "publish", DOCKER_HOST="unix:///nowhere/docker.sock")
    assert "the Docker engine at unix:///nowhere/docker.sock does not answer: No such file or directory." in said


def test_a_gateway_that_is_away_is_noticed_before_anything_is_pushed(shop: Shop) -> None:
    shop.add_registry()
    shop.skill("one")
    shop.build()
    said = shop.live.fails(5, "workspaces", "publish", "--url", "http://127.0.0.1:9", "--token", "x")
    assert "cannot be reached" in said
    assert "pushing" not in said
    assert shop.lock() is None


def test_a_lock_file_that_is_rubbish_or_of_a_newer_version_stops_it(shop: Shop) -> None:
    shop.add_registry()
    shop.skill("one")
    shop.build()
    path = shop.live.root / "fabric-jobs.lock"
    for text, what in (("{", "this is not JSON"), ('{"version": 7}', "use a newer one")):
        path.write_text(text)
        assert what in shop.live.fails(4, "workspaces", "publish")
        assert path.read_text() == text


def test_a_skill_without_actions_is_saved_too(shop: Shop) -> None:
    shop.live.ok("workspaces", "generate", "api", "--template", "external-api")
    assert names(shop.publish()["skills"], "state") == ["new"]
    assert shop.publish()["changed"] is False
    assert shop.lock() is None


def test_a_login_that_the_registry_refuses_adds_nothing(shop: Shop) -> None:
    words = ("workspaces", "registry", "add", "lab", "--url", REGISTRY, "--username", REGISTRY_USER, "--password-stdin")
    said = shop.live.fails(5, *words, stdin="wrong")
    assert f"the registry {REGISTRY} refuses the login of '{REGISTRY_USER}'" in said
    assert "unauthorized" in said or "401" in said
    assert "wrong" not in said
    words = ("workspaces", "registry", "add", "lab", "--url", "localhost:9", "--username", "x", "--password-stdin")
    assert "connection refused" in shop.live.fails(5, *words, stdin="x")
    assert shop.live.ok("workspaces", "registry", "list", "--output", "json").value == []
    shop.add_registry()
    (row,) = shop.live.ok("workspaces", "registry", "list", "--output", "json").value
    assert row == {
        "name": "lab",
        "url": REGISTRY,
        "namespace": shop.namespace,
        "active": True,
        "credentials": True,
    }
    kept = (Path(shop.live.environment["FABRIC_JOBS_CONFIG_DIR"]) / "registries.toml").read_text()
    assert registry_password() not in kept
