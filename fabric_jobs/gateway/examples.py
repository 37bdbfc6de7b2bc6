"""Examples by the name of their schema, for the documentation only."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, Any] = {
    "SkillOrApi": {
        "camel": "1.0.0",
        "name": "word-count",
        "inputs": [
            {
                "name": "request",
                "routing": {"all": {"action": "word-count", "runtime": "cortex/jobs", "output": "response"}},
            }
        ],
        "outputs": [{"name": "response"}],
        "actions": [{"name": "word-count", "type": "job", "image": "word-count", "response": "stdout"}],
    },
    "Agent": {
        "camel": "1.0.0",
        "name": "words",
        "skills": [{"skillName": "word-count"}],
        "mappings": [{"from": "input", "to": "word-count"}, {"from": "word-count", "to": "output"}],
    },
    "NewToken": {
        "name": "nightly",
        "role": "run",
        "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    },
    "GraphQuery": {"query": "{ projects {name, title, description} }"},
    "Invocation": {"payload": {"text": "to be or not"}},
    "BatchSubmission": {
        "workers": 2,
        "item_list": {"items": ["to", "be", "or", "not"], "batch_size": 2},
        "config": {"language": "en"},
    },
    "TaskSubmission": {"config": {"language": "en"}, "timeout": 600},
    "RetryJob": {},
    "NewSecret": {"value": "correct horse battery staple"},
    "Retry": {"ids": [1, 2], "requestId": "made-anew-each-time"},
    "Prune": {"activations": ["0123456789abcdef01234567"]},
    "BackupWanted": {"destination": "/backups/monday.tar.gz"},
    "Connection": {
        "name": "orders",
        "connectionType": "mongo",
        "params": [{"name": "uri", "value": "#SECURE.orders/uri"}],
    },
    "NewTypes": {"types": [{"name": "text", "parameters": [{"name": "text", "type": "string"}]}]},
    "Model": {"name": "churn", "type": "sklearn"},
    "Experiment": {"name": "churn-trees", "modelId": "churn"},
    "Run": {"runId": "run_01", "params": {"depth": 3}},
    "RunValue": {"value": 0.93},
    "NewSession": {"ttl": 900, "description": "one conversation"},
    "SessionState": {"state": {"step": 2}},
    "StandaloneAction": {"name": "train", "type": "job", "image": "registry.example.org/train:1"},
}
