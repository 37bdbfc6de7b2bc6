"""Personal tokens, their roles, and the tokens of tasks outside `/internal`."""

from __future__ import annotations

import base64
import json
import time
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_jobs.client import remote
from fabric_jobs.client.remote import Remote, RemoteConnection
from fabric_jobs.client.token_files import TokenFile
from fabric_jobs.engine import tokens
from fabric_jobs.errors import NotAllowed
from fabric_jobs.gateway.access import ROLES
from fabric_jobs.gateway.app import OPERATIONS
from fabric_jobs.personal_tokens import Presented, new_key, public_key, sign, thumbprint
from tests.acceptance.live import PROJECT, Live, until
from tests.gateway.access import Personal, ask, make_project, make_token
from tests.gateway.other_user import SOMEBODY, as_user, needs_another_user
from tests.gateway.routes import filled
from tests.gateway.test_jobs import Job, held
from tests.gateway.test_users import Caller, skill

__all__ = ["held"]

ECHO = "print(message()['payload'], end='')"
SKILLS = f"{PROJECT}/skills"


def part(value: object) -> str:
    """Return a part of a JWT."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_personal_token_calls_with_its_name_in_its_project(live: Live) -> None:
    live.skill("echo", ECHO)
    live.invoke("echo")
    caller = Caller(live, tcp=True)
    anna = make_token(caller, "anna@example.org")
    path = f"{PROJECT}/skillinvoke/echo/inputs/request"
    answer = caller.call("POST", path, b'{"payload": 7}', token=anna.jwt())
    assert answer.status == 200, answer
    activation = json.loads(answer.body)["activationId"]
    assert live.wait(activation)["username"] == "anna@example.org"
    shown = caller.call("GET", f"{PROJECT}/activations/{activation}", token=anna.jwt())
    assert json.loads(shown.body)["response"] == "7"
    (listed,) = caller.get("/tokens")["tokens"]
    assert (listed["name"], listed["role"], listed["expiresAt"], listed["createdBy"]) == (
        anna.name,
        "run",
        None,
        "local",
    )
    assert listed["kid"] == anna.key["kid"] == thumbprint(anna.key["x"])
    database = b"".join(path.read_bytes() for path in live.state.glob("state.db*"))
    assert anna.key["x"].encode() in database
    assert anna.key["d"].encode() not in database


def test_the_token_of_the_owners_user_is_a_jwt_that_stays(live: Live) -> None:
    caller = Caller(live)
    _, body, _ = caller.address.token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    assert claims["sub"] == "local"
    assert claims["aud"] == "cortex"
    assert claims["exp"] > time.time() + 365 * 86_400
    live.kill_owner()
    assert Caller(live).address.token == caller.address.token


def bad_tokens(anna: Personal) -> dict[str, str]:
    """Return tokens that are refused, by what is wrong with them."""
    good = anna.jwt()
    header, body, signature = good.split(".")
    other = new_key()
    now = time.time()
    return {
        "nothing": "",
        "no JWT": "nonsense",
        "two parts": f"{header}.{body}",
        "four parts": f"{good}.x",
        "no signature": f"{header}.{body}.",
        "alg none": f"{part({'alg': 'none', 'kid': anna.key['kid']})}.{body}.",
        "alg none, signed": f"{part({'alg': 'none', 'kid': anna.key['kid']})}.{body}.{signature}",
        "HMAC with the public key": tokens.sign({"sub": anna.name, "aud": "cortex"}, anna.key["x"].encode()),
        "HMAC with its kid": f"{part({'alg': 'HS256', 'kid': anna.key['kid']})}.{body}.{signature}",
        "another key": sign({**other, "kid": anna.key["kid"]}, {"sub": anna.name}),
        "a foreign key": Personal(anna.name, other).jwt(),
        "no kid": f"{part({'alg': 'EdDSA'})}.{body}.{signature}",
        "a kid that is no text": f"{part({'alg': 'EdDSA', 'kid': [1]})}.{body}.{signature}",
        "other claims": f"{header}.{part({'sub': 'local', 'aud': 'cortex', 'exp': now + 60})}.{signature}",
        "claims that are a list": sign(anna.key, []),  # type: ignore[arg-type]
        "deep claims": f"{header}.{base64.urlsafe_b64encode(b'[' * 20_000).rstrip(b'=').decode()}.{signature}",
        "expired": anna.jwt(seconds=-1),
        "no exp": anna.jwt(exp=None),
        "exp a text": anna.jwt(exp=str(now + 60)),
        "exp true": anna.jwt(exp=True),
        "exp without end": anna.jwt(exp=1e400),
        "another issuer": anna.jwt(iss="example.org"),
        "no issuer": anna.jwt(iss=None),
        "another audience": anna.jwt(aud="other"),
        "no audience": anna.jwt(aud=None),
        "another subject": anna.jwt(sub="local"),
        "a clock five minutes behind": anna.jwt(seconds=120 - 300),
        "not ASCII": "é.é.é",
    }


def test_bad_tokens_are_refused_in_the_way_clients_read(live: Live) -> None:
    caller = Caller(live, tcp=True)
    anna = make_token(caller, "anna", "admin")
    for _ in range(2):  # once more with everything cached
        assert caller.call("GET", SKILLS, token=anna.jwt()).status == 200
        for what, token in bad_tokens(anna).items():
            for method, body in (("GET", b""), ("POST", json.dumps(skill()).encode())):
                answer = caller.call(method, SKILLS, body, token=token)
                assert answer.status == 401, (what, answer)
                assert answer.headers["x-auth-error"] == json.loads(answer.body)["message"], what
    assert caller.get("/skills")["skills"] == []


def test_what_clients_write_into_good_tokens_is_accepted(live: Live) -> None:
    caller = Caller(live, tcp=True)
    anna = make_token(caller, "anna", "read")
    for token in (
        anna.jwt(
            iat=1.7e6, nbf=time.time() + 300, jti="x", typ="JWT"
        ),  # cortex-python's iat; a clock five minutes ahead
        anna.jwt(seconds=120 + 300),
        anna.jwt(aud=["cortex", "other"]),
        anna.jwt(exp=time.time() + 60.5),
    ):
        assert caller.call("GET", SKILLS, token=token).status == 200


def test_a_token_is_good_until_it_is_revoked_or_expires(live: Live) -> None:
    caller = Caller(live, tcp=True)
    anna, brief = make_token(caller, "anna"), make_token(caller, "brief", expiresInSeconds=0.001)
    jwt = anna.jwt()
    assert caller.call("GET", SKILLS, token=jwt).status == 200
    assert "expired" in caller.refused(401, "GET", SKILLS, token=brief.jwt())
    assert json.loads(caller.call("DELETE", f"{PROJECT}/tokens/anna").body)["revoked"] is True
    for token in (jwt, anna.jwt()):
        assert "revoked" in caller.refused(401, "GET", SKILLS, token=token)
    again = make_token(caller, "anna")  # a new key of the same name
    assert caller.call("GET", SKILLS, token=again.jwt()).status == 200
    assert "revoked" in caller.refused(401, "GET", SKILLS, token=jwt)
    live.kill_owner()
    later = Caller(live, tcp=True)
    assert later.call("GET", SKILLS, token=again.jwt()).status == 200
    assert later.refused(401, "GET", SKILLS, token=jwt)
    assert json.loads(later.call("DELETE", f"{PROJECT}/tokens/none").body)["revoked"] is False


def test_a_key_that_comes_back_under_another_name_signs_for_that_one_only(live: Live) -> None:
    caller = Caller(live, tcp=True)
    anna = make_token(caller, "anna")
    jwt = anna.jwt()
    assert caller.call("GET", SKILLS, token=jwt).status == 200
    assert caller.call("DELETE", f"{PROJECT}/tokens/anna").status == 200
    caller.post("/tokens", {"name": "bob", "role": "admin", "jwk": anna.public})
    assert "'sub'" in caller.refused(401, "GET", SKILLS, token=jwt)
    assert caller.call("GET", f"{PROJECT}/tokens", token=Personal("bob", anna.key).jwt()).status == 200


def test_a_request_for_a_token_may_come_twice(live: Live) -> None:
    caller = Caller(live)
    anna = Personal("anna")
    body = {"name": "anna", "role": "read", "jwk": anna.public}
    assert caller.post("/tokens", body)["token"]["kid"] == caller.post("/tokens", body)["token"]["kid"]
    for other in (
        {**body, "role": "admin"},
        {**body, "name": "other"},
        {**body, "jwk": Personal("anna").public},
    ):
        caller.refused(409, "POST", f"{PROJECT}/tokens", json.dumps(other).encode())
    assert len(caller.get("/tokens")["tokens"]) == 1


NO_TOKENS: list[dict[str, Any]] = [
    {"name": ""},
    {"name": "local"},
    {"name": "../x"},
    {"name": "a" * 200},
    {"name": 7},
    {"role": "owner"},
    {"role": "root"},
    {"role": None},
    {"role": ["admin"]},
    {"jwk": None},
    {"jwk": "x"},
    {"jwk": {"kty": "RSA", "n": "x", "e": "AQAB"}},
    {"jwk": {"kty": "OKP", "crv": "X25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}},
    {"jwk": {"kty": "OKP", "crv": "Ed25519"}},
    {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "short"}},
    {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo="}},
    {"jwk": new_key()},  # with its private half
    {"expiresInSeconds": 0},
    {"expiresInSeconds": -1},
    {"expiresInSeconds": True},
    {"expiresInSeconds": "90d"},
    {"expiresInSeconds": 1e13},
]


def test_tokens_that_are_none(live: Live) -> None:
    caller = Caller(live)
    for wrong in NO_TOKENS:
        body = {"name": "anna", "role": "run", "jwk": Personal("anna").public, **wrong}
        assert caller.refused(400, "POST", f"{PROJECT}/tokens", json.dumps(body).encode())
    caller.refused(404, "POST", "/fabric/v4/projects/none/tokens", b'{"name": "anna"}')
    assert caller.get("/tokens")["tokens"] == []


ADMINS = ("/deploy", "/delete/{api}")  # programs of jobs need the role `run` for these, and people need `admin`


@pytest.mark.parametrize("role", ROLES[:3])
def test_a_role_allows_what_its_operations_say_and_nothing_else(live: Live, role: str) -> None:
    caller = Caller(live, tcp=True)
    token = make_token(caller, "anna", role).jwt()
    for operation in OPERATIONS:
        if operation.caller != "user" or operation.path == "/fabric/v4/graphql" or operation.method == "HEAD":
            continue
        method, path = operation.method, filled(operation)
        if ROLES.index(operation.needs) > ROLES.index(role):
            assert (
                operation.needs in caller.refused(403, method, path, b"{}", token=token) or operation.needs == "owner"
            )
            assert "x-auth-error" in caller.call(method, path, b"{}", token=token).headers
        elif (
            operation.needs != "admin" and operation.path not in ADMINS
        ):  # what an admin may delete would be gone for the next
            assert caller.call(method, f"{path}?wait=0", b"", token=token).status not in (401, 403), path


def test_the_roles_of_routes_are_those_that_the_docs_promise() -> None:
    needs = {(operation.method, operation.path.rpartition("}")[2]): operation.needs for operation in OPERATIONS}
    assert needs["POST", "/skills"] == needs["POST", "/agents"] == needs["POST", "/tokens"] == "admin"
    assert needs["GET", "/skills"] == needs["GET", "/activations"] == "read"
    assert needs["GET", "/tokens"] == "admin"
    assert needs["POST", "/cancel"] == "run"
    assert needs["GET", "/metrics"] == needs["GET", "/state/size"] == "owner"
    assert {operation.needs for operation in OPERATIONS if "invoke/" in operation.path} == {"run"}
    assert {operation.needs for operation in OPERATIONS} <= set(ROLES)


def test_an_admin_makes_tokens_of_its_project_only(live: Live) -> None:
    caller = Caller(live, tcp=True)
    make_project(caller, "other")
    admin = make_token(caller, "anna", "admin")
    body = json.dumps({"name": "new", "role": "read", "jwk": Personal("new").public}).encode()
    assert caller.call("POST", f"{PROJECT}/tokens", body, token=admin.jwt()).status == 200
    caller.refused(403, "POST", "/fabric/v4/projects/other/tokens", body, token=admin.jwt())
    assert caller.get("/tokens")["tokens"][1]["createdBy"] == "anna"


def test_only_a_command_of_the_owner_names_files_and_variables_here(live: Live) -> None:
    live.skill("echo", ECHO)
    live.invoke("echo")
    caller = Caller(live)  # over the Unix socket, as a container might call
    admin = make_token(caller, "anna", "admin").jwt()
    path = f"{PROJECT}/skillinvoke/echo/inputs/request"
    shell = json.dumps({"payload": 1, "shell": {"environment": {"PATH": "/tmp"}, "directory": "/"}}).encode()
    for header in ("x-fabric-workspace", "x-fabric-source"):
        where = path if header == "x-fabric-workspace" else SKILLS
        body = b'{"payload": 1}' if where == path else json.dumps(skill()).encode()
        assert header in caller.refused(400, "POST", where, body, token=admin, **{header: "/etc"})
    assert "shell" in caller.refused(400, "POST", path, shell, token=admin)
    assert len(caller.get("/activations")["activations"]) == 1


def test_our_own_client_signs_by_the_gateways_clock_and_again_in_time(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = Caller(live)
    anna = make_token(caller, "anna", "read")
    file = TokenFile(url=f"{caller.address.url}/px", username="anna", key=anna.key)
    connection = RemoteConnection(Remote(url=file.url, token="", key=file))
    passed = [0.0]
    monkeypatch.setattr(
        remote, "time", SimpleNamespace(time=lambda: 0.0, monotonic=lambda: time.monotonic() + passed[0])
    )
    signed: list[float] = []
    sign_once = TokenFile.sign

    def counted(file: TokenFile, until: float) -> str:
        signed.append(until)
        return sign_once(file, until)

    monkeypatch.setattr(TokenFile, "sign", counted)
    for seconds, count in ((0.0, 1), (50.0, 1), (70.0, 2), (100.0, 2), (1e6, 3)):
        passed[0] = seconds
        assert connection.request("GET", SKILLS).status == 200
        assert len(signed) == count
    connection.close()


# Tokens of tasks.


def test_a_tasks_token_calls_the_fabric_api_of_its_project(held: Live) -> None:
    job = Job(held)
    caller = Caller(held, tcp=True)
    make_project(caller, "other")
    token = job.message["token"]
    px = f"/px{PROJECT}"
    shown = caller.call("GET", f"{px}/activations/{job.message['activationId']}", token=token)
    assert json.loads(shown.body)["status"] == "PENDING"
    names = [found["name"] for found in json.loads(caller.call("GET", f"{px}/skills", token=token).body)["skills"]]
    body = b'{"payload": 5}'
    invoked = caller.call("POST", f"{px}/skillinvoke/{names[0]}/inputs/request", body, token=token)
    assert invoked.status == 200, invoked
    activation = json.loads(invoked.body)["activationId"]
    assert caller.call("POST", f"{px}/activations/{activation}/cancel", token=token).status == 200
    caller.refused(403, "POST", SKILLS, json.dumps(skill()).encode(), token=token)
    caller.refused(403, "GET", "/fabric/v4/projects/other/skills", token=token)
    caller.refused(403, "GET", "/fabric/v4/projects/none/skills", token=token)
    caller.refused(403, "GET", f"{PROJECT}/tokens", token=token)
    caller.refused(403, "GET", "/metrics", token=token)
    assert ask(caller, "{ projects { name } }", token=token)["projects"] == [
        {"name": "local", "title": "local", "description": ""}
    ]


def test_a_tasks_token_dies_with_its_attempt_everywhere(held: Live) -> None:
    job = Job(held)
    caller = Caller(held, tcp=True)
    token = job.message["token"]
    assert caller.call("GET", SKILLS, token=token).status == 200
    assert job.commit(acks=[[job.channel, 0, 1]]).status == 200
    held.release(held.root / "gate")
    held.wait(job.message["activationId"])
    answer = until(lambda: ended(caller, token), "the token is refused")
    assert "over" in answer.headers["x-auth-error"]


def ended(caller: Caller, token: str) -> Any:
    """Return the answer for a token once it is a refusal."""
    answer = caller.call("GET", SKILLS, token=token)
    return answer if answer.status == 401 else None


SPEAK = """
request = urllib.request.Request(sys.argv[1], None, {"Authorization": f"Bearer {sys.argv[2]}"})
try:
    print(urllib.request.urlopen(request).status)
except urllib.error.HTTPError as error:
    print(error.code, json.load(error)["message"])
"""


@needs_another_user
def test_a_tasks_token_is_of_no_use_to_another_user_anywhere(held: Live) -> None:
    job = Job(held)
    url = f"{job.message['apiEndpoint']}{SKILLS}"
    ran = as_user(SOMEBODY, SPEAK, url, job.message["token"])
    assert ran.stdout.startswith("401 the token of a task is taken from programs of this gateway's own user"), ran
    anna = make_token(Caller(held), "anna", "read")
    assert as_user(SOMEBODY, SPEAK, url, anna.jwt()).stdout == "200\n"


# Laws.

TEXTS = st.text(max_size=20)
KEY = new_key()


@given(claims=st.dictionaries(TEXTS, st.one_of(TEXTS, st.integers(), st.booleans()), max_size=5))
def test_what_is_signed_is_read_again(claims: dict[str, Any]) -> None:
    presented = Presented.read(sign(KEY, claims))
    assert (presented.kid, presented.claims) == (KEY["kid"], claims)


GOOD = Personal("anna", KEY).jwt(seconds=1e9)


@settings(max_examples=300)
@given(at=st.integers(0, len(GOOD) - 1), character=st.sampled_from("abcXYZ019-_.+/= \n"))
def test_a_token_with_one_other_character_is_refused(at: int, character: str) -> None:
    changed = GOOD[:at] + character + GOOD[at + 1 :]
    if changed != GOOD:
        with pytest.raises(NotAllowed):
            Presented.read(changed).verify(KEY["x"], "anna")


@settings(max_examples=300)
@given(token=st.text(max_size=200) | st.lists(st.text("AZaz09-_"), min_size=3, max_size=3).map(".".join))
def test_no_text_is_more_than_refused(token: str) -> None:
    with pytest.raises(NotAllowed):
        Presented.read(token)


@given(x=st.text(max_size=60))
def test_no_text_is_more_than_not_a_key(x: str) -> None:
    with suppress(ValueError):
        assert public_key(x)["kid"]
