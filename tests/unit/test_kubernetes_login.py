"""Kubeconfigs, login programs and tokens: each failure is a sentence that names what is wrong, and a hint what to do."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.client.configuration import Configuration

from fabric_jobs.errors import ExecutorUnavailable, FabricJobsError
from fabric_jobs.kubernetes import login, plugin, session
from fabric_jobs.kubernetes.cluster import Cluster, Where
from fabric_jobs.kubernetes.failures import Rejected
from tests.api_server import VERSION, ApiServer, Tunnels, written


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiServer]:
    made = ApiServer(tmp_path)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the environment says of clusters and proxies."""
    for name in ("FABRIC_JOBS_KUBERNETES_CONTEXT", "FABRIC_JOBS_KUBERNETES_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))


async def closed(found: Cluster) -> None:
    """Close the connections, and wait for the goodbye of TLS."""
    await found.close()
    loop = asyncio.get_running_loop()
    until = loop.time() + 5.0
    while getattr(loop, "_transports", None) and loop.time() < until:
        await asyncio.sleep(0.005)


def asked(times: int = 1, pause: float = 0.0) -> Cluster:
    """Ask the cluster for its version, some times; return it."""

    async def ask() -> Cluster:
        found = Cluster(Where())
        try:
            for number in range(times):
                await asyncio.sleep(pause if number else 0)
                assert await found.at("/version") == VERSION
        finally:
            await closed(found)
        return found

    return asyncio.run(ask())


def fails() -> FabricJobsError:
    """Ask the cluster; return the error."""
    with pytest.raises(FabricJobsError) as caught:
        asked()
    assert isinstance(caught.value, ExecutorUnavailable)
    assert len(str(caught.value).splitlines()) == 2, str(caught.value)
    return caught.value


def program(path: Path, text: str) -> str:
    """Write an executable Python program."""
    path.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{text}")
    path.chmod(0o755)
    return str(path)


def giving(token: str, seconds: float = 3600.0) -> str:
    """Return a line that prints an ExecCredential."""
    at = f"time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + {seconds}))"
    status = f"{{'token': {token}, 'expirationTimestamp': {at}}}"
    return f"print(json.dumps({{'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential', 'status': {status}}}))\n"


@contextmanager
def socket_that_is_silent() -> Iterator[int]:
    """Yield a port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def exec_user(command: str, **more: Any) -> dict[str, Any]:
    """Return a user with a login program."""
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": command, **more}}


# Kubeconfigs


def test_a_token_opens_the_namespace_of_the_context(api: ApiServer, tmp_path: Path) -> None:
    written(tmp_path / "config", api.config({"token": "right"}))
    found = asked()
    assert (found.namespace, found.url, found.requests) == ("mine", api.url, 1)


def test_the_setting_names_another_namespace(api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "config", api.config({"token": "right"}))
    monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_NAMESPACE", "other")
    assert asked().namespace == "other"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert f"no cluster is configured: there is no file {tmp_path / 'config'}" in fails().message
    assert not login.is_configured()


def test_files_can_be_several(api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = api.config({"token": "right"})
    users = {"apiVersion": "v1", "kind": "Config", "users": config.pop("users")}
    first = written(tmp_path / "one", {**config, "users": []})
    names = os.pathsep.join(map(str, (first, tmp_path / "missing", written(tmp_path / "two", users))))
    monkeypatch.setenv("KUBECONFIG", names)
    assert asked().namespace == "mine"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be used"),
        ("[1, 2]", "cannot be used"),
        ("a: [", "cannot be used"),
        ("{}", "has no contexts"),
        ("contexts: []\nclusters: []\nusers: []", "has no contexts"),
        ("contexts: [{name: a, context: {cluster: gone}}]\ncurrent-context: a", "gone"),
        ("contexts: [{name: a, context: {cluster: c}}]\ncurrent-context: a\nclusters: [{name: c, cluster: {}}]", "c"),
    ],
)
def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path, text: str, said: str) -> None:
    written(tmp_path / "config", text)
    error = fails()
    assert str(tmp_path / "config") in error.message
    assert said in error.message


@pytest.mark.skipif(os.getuid() == 0, reason="root reads every file")
def test_a_file_that_must_not_be_read_is_named(api: ApiServer, tmp_path: Path) -> None:
    written(tmp_path / "config", api.config({"token": "right"})).chmod(0)
    assert f"{tmp_path / 'config'} cannot be read: Permission denied" in fails().message


def test_contexts_are_chosen_and_listed(api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = api.config({"token": "right"})
    config["contexts"].append({"name": "work", "context": {"cluster": "tiny", "user": "me", "namespace": "team"}})
    del config["current-context"]
    written(tmp_path / "config", config)
    error = fails()
    assert "says no current context; it has tiny, work" in error.message
    assert "FABRIC_JOBS_KUBERNETES_CONTEXT" in error.hint
    monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_CONTEXT", "work")
    assert asked().namespace == "team"
    monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_CONTEXT", "home")
    assert "has no context 'home'; it has tiny, work" in fails().message


# Certificates and silence


def test_an_authority_that_is_not_trusted_is_said(api: ApiServer, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    stranger = ApiServer(other)
    stranger.close()
    written(tmp_path / "config", api.config({"token": "right"}, **{"certificate-authority": str(stranger.certificate)}))
    error = fails()
    assert f"the cluster at {api.url} shows a certificate that is not trusted: " in error.message
    assert "certificate authority" in error.hint


@pytest.mark.parametrize("text", ["no certificate", ""])
def test_an_authority_that_is_none_is_said(api: ApiServer, tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "broken.crt", text)
    written(tmp_path / "config", api.config({"token": "right"}, **{"certificate-authority": str(path)}))
    assert "cannot be used" in fails().message


def test_a_cluster_that_is_away_is_named_without_noise(api: ApiServer, tmp_path: Path) -> None:
    written(tmp_path / "config", api.config({"token": "right"}))
    api.close()
    assert fails().message == f"the cluster at {api.url} does not answer: Connection refused."


def test_a_name_that_does_not_exist_is_said(api: ApiServer, tmp_path: Path) -> None:
    written(tmp_path / "config", api.config({"token": "right"}, server="https://no-such-host.invalid:6443"))
    assert "https://no-such-host.invalid:6443 does not answer: " in fails().message
    assert "ssl" not in fails().message


def test_a_cluster_that_says_nothing_is_named(api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SECONDS", 0.2)
    with socket_that_is_silent() as port:
        written(tmp_path / "config", api.config({"token": "right"}, server=f"https://127.0.0.1:{port}"))
        assert fails().message == f"the cluster at https://127.0.0.1:{port} does not answer: it took too long."


# Tokens


def test_a_token_that_has_expired_is_said(api: ApiServer, tmp_path: Path) -> None:
    written(tmp_path / "config", api.config({"token": "old"}))
    error = fails()
    assert error.message == "the cluster does not accept this user: Unauthorized."
    assert "Log in again" in error.hint


def test_a_token_that_was_replaced_is_read_again(
    api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "AGAIN_SECONDS", 0.0)
    file = written(tmp_path / "token", "right")
    written(tmp_path / "config", api.config({"tokenFile": str(file)}))

    async def ask() -> None:
        found = Cluster(Where())
        await found.at("/version")
        api.token = "newer"
        file.write_text("newer")
        assert await found.at("/version") == VERSION
        await closed(found)

    asyncio.run(ask())
    assert api.asked == ["right", "right", "newer"]


def test_a_pod_reads_its_token_again(api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "AGAIN_SECONDS", 0.0)
    monkeypatch.delenv("KUBECONFIG")
    mounted = tmp_path / "serviceaccount"
    mounted.mkdir()
    (mounted / "token").write_text("right")
    (mounted / "namespace").write_text("of-the-pod\n")
    (mounted / "ca.crt").write_text(api.certificate.read_text())
    monkeypatch.setattr(login, "IN_CLUSTER", mounted)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(api.port))

    async def ask() -> None:
        found = Cluster(Where())
        await found.at("/version")
        assert found.namespace == "of-the-pod"
        api.token = "rotated"
        (mounted / "token").write_text("rotated")
        assert await found.at("/version") == VERSION
        await closed(found)

    assert login.is_configured()
    asyncio.run(ask())
    (mounted / "ca.crt").unlink()
    assert "ertificat" in fails().message


# Login programs


def test_a_login_program_gives_a_token(api: ApiServer, tmp_path: Path) -> None:
    text = "assert json.loads(os.environ['KUBERNETES_EXEC_INFO'])['spec']['interactive'] is False\n"
    command = program(tmp_path / "login", text + "assert sys.argv[1:] == ['a b']\n" + giving("os.environ['WHICH']"))
    more = {"args": ["a b"], "env": [{"name": "WHICH", "value": "right"}]}
    written(tmp_path / "config", api.config(exec_user(command, **more)))
    asked(times=3)
    assert api.asked == ["right"] * 3


def test_its_path_begins_beside_the_kubeconfig(api: ApiServer, tmp_path: Path) -> None:
    program(tmp_path / "login", giving("'right'"))
    written(tmp_path / "config", api.config(exec_user("./login", env=None, args=None)))
    asked()


def test_it_runs_again_before_its_token_expires(
    api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = tmp_path / "count"
    text = f"open({str(count)!r}, 'a').write('x')\n" + giving("'right'", login.EARLY_SECONDS + 2)
    written(tmp_path / "config", api.config(exec_user(program(tmp_path / "login", text))))

    async def ask() -> None:
        found = Cluster(Where())
        await asyncio.gather(*(found.at("/version") for _ in range(5)))
        assert count.read_text() == "x"
        moment = time.time()
        monkeypatch.setattr(time, "time", lambda: moment + 5.0)
        await asyncio.gather(*(found.at("/version") for _ in range(5)))
        assert count.read_text() == "xx"
        await closed(found)

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sys.exit('please log in:\\n  at work')", "fails: please log in: at work."),
        ("sys.exit(3)", "fails: exit code 3."),
        ("print('hello')", "does not print an ExecCredential."),
        ("print('{}')", "does not print an ExecCredential."),
        ("print(json.dumps({'status': {}}))", "gives neither a token nor a certificate."),
        ("print(json.dumps({'status': {'token': 'x', 'expirationTimestamp': 'soon'}}))", "does not print an"),
    ],
)
def test_a_login_program_that_fails_is_said(api: ApiServer, tmp_path: Path, text: str, said: str) -> None:
    command = program(tmp_path / "login", text)
    written(tmp_path / "config", api.config(exec_user(command)))
    error = fails()
    assert f"the login program of the cluster, '{command}', {said}" in error.message
    assert error.hint


def test_a_login_program_that_is_missing_says_how_to_get_it(api: ApiServer, tmp_path: Path) -> None:
    written(tmp_path / "config", api.config(exec_user("no-such-login", installHint="Run brew install login.")))
    error = fails()
    assert "'no-such-login', cannot be started: No such file or directory." in error.message
    assert error.hint == "Run brew install login."


def test_a_login_program_that_hangs_is_said_and_killed(
    api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = tmp_path / "pid"
    text = f"open({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
    written(tmp_path / "config", api.config(exec_user(program(tmp_path / "login", text))))
    monkeypatch.setattr(session, "OPEN_SECONDS", 0.0)
    assert "has not answered yet" in fails().message
    monkeypatch.setattr(session, "OPEN_SECONDS", 60.0)
    monkeypatch.setattr(plugin, "SECONDS", 1.0)
    assert "did not end in 1 seconds" in fails().message
    with suppress(FileNotFoundError), pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_slow_login_program_goes_on_while_its_callers_give_up(
    api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    text = f"open({str(gate)!r}).read()\n" + giving("'right'")
    written(tmp_path / "config", api.config(exec_user(program(tmp_path / "login", text))))
    monkeypatch.setattr(session, "OPEN_SECONDS", 0.05)

    async def ask() -> None:
        found = Cluster(Where())
        with pytest.raises(ExecutorUnavailable, match="has not answered yet"):
            await found.at("/version")
        await asyncio.to_thread(gate.write_text, "go")
        session.OPEN_SECONDS = 30.0
        assert await found.at("/version") == VERSION
        await closed(found)

    asyncio.run(ask())


# The library and proxies


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    for name in [name for name in sys.modules if name.startswith("kubernetes.")]:
        monkeypatch.setitem(sys.modules, name, None)
    error = fails()
    assert "the library 'kubernetes' is not installed" in error.message
    assert error.hint == "Install it: pip install 'fabric-jobs[kubernetes]'"


def test_a_proxy_is_used_unless_it_is_excluded(api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Tunnels(api.port)
    written(tmp_path / "config", api.config({"token": "right"}, server="https://cluster.test:6443"))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    asked()
    assert proxy.asked == ["cluster.test:6443"]
    monkeypatch.setenv("NO_PROXY", "other.test,.test")
    assert "cluster.test:6443 does not answer" in fails().message
    monkeypatch.delenv("HTTPS_PROXY")
    monkeypatch.delenv("NO_PROXY")
    config = api.config({"token": "right"}, server="https://cluster.test:6443", **{"proxy-url": proxy.url})
    written(tmp_path / "config", config)
    asked()
    assert len(proxy.asked) == 2
    proxy.close()


def test_tunnels_take_the_same_way_as_requests(api: ApiServer, tmp_path: Path) -> None:
    """Through the proxy, and by the name of the certificate; also when a tunnel is the first thing that is asked for."""
    proxy = Tunnels(api.port)
    way = {"proxy-url": proxy.url, "tls-server-name": "cluster.test"}
    written(tmp_path / "config", api.config({"token": "right"}, server="https://elsewhere.test:6443", **way))

    async def ask() -> None:
        found = Cluster(Where())
        with pytest.raises(Rejected):  # this server has no tunnels
            await found.tunnel("pod", 80)
        await closed(found)

    asyncio.run(ask())
    assert proxy.asked == ["elsewhere.test:6443"]
    assert api.asked == ["right"]
    proxy.close()


# Files that are written again


def test_an_authority_that_was_replaced_in_place_is_read_again(
    api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    stranger = ApiServer(tmp_path / "other")
    stranger.close()
    file = written(tmp_path / "trusted.crt", stranger.certificate.read_text())
    written(tmp_path / "config", api.config({"token": "right"}, **{"certificate-authority": str(file)}))

    async def ask() -> None:
        found = Cluster(Where())
        with pytest.raises(ExecutorUnavailable, match="not trusted"):
            await found.version()
        file.write_text(api.certificate.read_text())
        monkeypatch.setattr(session, "AGAIN_SECONDS", 0.0)
        assert await found.version() == VERSION["gitVersion"]
        await closed(found)

    asyncio.run(ask())


@pytest.mark.parametrize("name", ["ssl_ca_cert", "cert_file", "key_file"])
def test_a_certificate_that_was_replaced_in_place_needs_new_connections(tmp_path: Path, name: str) -> None:
    configuration = Configuration()
    file = written(tmp_path / name, "one")
    setattr(configuration, name, str(file))
    found = login.Login(configuration, "", 0.0)
    before = found.way
    assert found.way == before
    file.write_text("another")
    assert found.way != before
