"""Secrets, connections, sessions, types, models and experiments with cortex-python, unmodified."""

from __future__ import annotations

from tests.acceptance.live import Live
from tests.clients.test_scripts import Script
from tests.clients.test_scripts import cortex as cortex

TYPE = {"camel": "1.0.0", "name": "team/Flight", "parameters": [{"name": "delay", "type": "number"}]}
CONNECTION = {
    "name": "flights",
    "connectionType": "mongo",
    "params": [{"name": "uri", "value": "#SECURE.flights-uri"}, {"name": "database", "value": "flights"}],
}
SECRETS = {
    "6.3.3": """
secrets = client.secrets
found = [secrets.post_secret("flights-uri", "mongodb://somewhere")["success"], secrets.get_secret("flights-uri")["value"]]
""",
    "6.1.0": """
client.to_connector().request("POST", "projects/local/secrets/flights-uri", json.dumps("mongodb://somewhere"))
found = [True, client.get_secret("flights-uri")["value"]]
""",
}
CONNECTIONS = {
    "6.3.3": """
saved = client.connections.save_connection(given)
found = client.connections.get_connection("flights")
""",
    "6.1.0": """
from cortex.connection import ConnectionClient
saved = ConnectionClient(client).save_connection("local", given)
found = client.get_connection("flights")
""",
}
SESSIONS = {
    "6.3.3": """
sessions = client.sessions
name = sessions.start_session(ttl=60, description="mine")
sessions.put_session_data(name, {"a": 1})
sessions.put_session_data(name, {"b": {"c": 2}})
found = [sessions.get_session_data(name), sessions.get_session_data(name, "b"), sessions.get_session_data("none")]
sessions.delete_session(name)
found.append(sessions.get_session_data(name))
""",
    "6.1.0": """
session = client.session(ttl=60)
session.put({"a": 1})
session.put({"b": {"c": 2}})
found = [session.get(), session.get("b"), client.session("none").get()]
session._client.delete_session(session._session_id, "local")
found.append(session.get())
""",
}
MODELS = {
    "6.3.3": """
models = client.models
saved = models.save_model({"name": "team/delays", "title": "Delays", "tags": []})
shown = models.get_model("team/delays")
listed = [each["name"] for each in models.list_models()]
found = [bool(saved), shown["title"], listed, models.delete_model("team/delays"), models.list_models()]
""",
    "6.1.0": """
models = ModelClient("local", client)
saved = models.save_model({"name": "team/delays", "title": "Delays", "tags": []})
shown = models.get_model("team/delays")
listed = [each["name"] for each in models.list_models()]
found = [bool(saved), shown["title"], listed, models.delete_model("team/delays"), models.list_models()]
""",
}
# An experiment as its authors use it: runs with params, metrics, meta and artifacts, and a look back at them.
USED = """
run = experiment.start_run()
with run:
    run.log_param("depth", 3)
    run.log_metric("rmse", 0.5)
    run.set_meta("by", "anna")
    run.log_artifact("model", {"weights": [1, 2]})
experiment.save_run(run)
other = experiment.start_run()
other.log_artifact_stream("bytes", io.BytesIO(b"xyz" * 100_000))
again = experiment.get_run(run.id)
found = {
    "runs": len(experiment.runs()),
    "run": [again.params, again.metrics, again.meta, sorted(again.artifacts)],
    "took": again.took is not None,
    "artifact": experiment.load_artifact(again, "model"),
    "bytes": len(other.get_artifact("bytes", deserializer=None)),
}
"""
EXPERIMENTS = {
    "6.3.3": f"""
client.experiments.save_experiment("team/e1", title="First")
experiment = Experiment(client.experiments.get_experiment("team/e1"), client.experiments)
{USED}
found["last"] = experiment.last_run().id in (run.id, other.id)
found["some"] = [each["runId"] for each in client.experiments.find_runs("team/e1", {{"runId": run.id}})] == [run.id]
found["deleted"] = client.experiments.delete_run("team/e1", run.id)
experiment.reset()
found["left"] = [len(experiment.runs()), client.experiments.delete_experiment("team/e1"), client.experiments.list_experiments()]
""",
    "6.1.0": f"""
experiment = client.experiment("team/e1")
{USED}
experiments = experiment._client
found["last"] = experiment.last_run().id in (run.id, other.id)
found["some"] = [each["runId"] for each in experiments.find_runs("team/e1", "local", {{"runId": run.id}})] == [run.id]
found["deleted"] = experiments.delete_run("team/e1", "local", run.id)
experiments.delete_runs("team/e1", "local")
left = len(experiments.list_runs("team/e1", "local"))
found["left"] = [left, experiments.delete_experiment("team/e1", "local"), experiments.list_experiments("local")]
""",
}


def test_secrets_and_connections(version: str, cortex: Script) -> None:
    assert cortex(SECRETS[version]) == [True, "mongodb://somewhere"]
    found = cortex(CONNECTIONS[version], CONNECTION)
    values = {each["name"]: each["value"] for each in found["params"]}
    assert values == {"uri": "mongodb://somewhere", "database": "flights"}


def test_sessions(version: str, cortex: Script) -> None:
    assert cortex(SESSIONS[version]) == [{"a": 1, "b": {"c": 2}}, {"b": {"c": 2}}, {}, {}]


def test_types(live: Live, version: str, cortex: Script) -> None:
    saved = (
        'said = client.to_connector().request("POST", "projects/local/types", json.dumps({"types": [given]})).json()\n'
    )
    shown = 'client.to_connector().request("GET", "projects/local/types/team%2FFlight").json()["parameters"]'
    if version == "6.3.3":
        shown = 'client.types.get_type("team/Flight")._document["parameters"]'
    assert cortex(f"{saved}found = {shown}", TYPE) == TYPE["parameters"]


def test_models(version: str, cortex: Script) -> None:
    assert cortex(MODELS[version]) == [True, "Delays", ["team/delays"], True, []]


def test_experiments(version: str, cortex: Script) -> None:
    found = cortex(EXPERIMENTS[version])
    assert found == {
        "runs": 2,
        "run": [{"depth": 3}, {"rmse": 0.5}, {"by": "anna"}, ["model"]],
        "took": True,
        "artifact": {"weights": [1, 2]},
        "bytes": 300_000,
        "last": True,
        "some": True,
        "deleted": True,
        "left": [0, True, []],
    }
