"""Skills and agents."""

from __future__ import annotations

from typing import Any

from fabric_jobs.gateway.openapi.parts import (
    DONE,
    NAME,
    PROJECT,
    SKIP,
    Answer,
    Body,
    Operation,
    P,
    flag,
    in_header,
    in_path,
    in_query,
    listed,
    paths,
    ref,
)


def _paths(kind: str) -> dict[str, Any]:
    title = kind.capitalize()
    every: dict[str, Any] = {"tag": "definitions", "parameters": (PROJECT,)}
    one: dict[str, Any] = {"tag": "definitions", "parameters": (PROJECT, NAME), "errors": ("404",)}
    use = ("403", "404") if kind == "skill" else ("404",)
    return {
        f"{P}/{kind}s": paths(
            get=Operation(
                name=f"list{title}s",
                meaning=f"List the newest version of every {kind}.",
                answer=listed(f"{kind}s", ref("Summary")),
                **{**every, "parameters": (PROJECT, FILTER, SORT, in_query("limit", "At most so many.", **MANY), SKIP)},
                errors=("501",),
            ),
            post=Operation(
                name=f"save{title}",
                meaning=f"Keep a version of a {kind}; an unchanged one keeps its number.",
                body=Body(schema=ref(title), example=EXAMPLES[kind]),
                answer=Answer(schema=ref("Saved")),
                **{**every, "parameters": (PROJECT, *FILES[kind])},
            ),
        ),
        f"{P}/{kind}s/{{name}}": paths(
            get=Operation(
                name=f"show{title}",
                meaning=f"Show a {kind} as it was saved.",
                answer=Answer(schema=ref(f"Saved{title}"), others={"application/yaml": {"type": "string"}}),
                **{**one, "parameters": (PROJECT, NAME, OUTPUT), "errors": ("404", "501")},
            ),
            delete=Operation(
                name=f"delete{title}",
                meaning=f"Take a {kind} out of use; activations that run keep their version.",
                answer=DONE,
                **{**one, "errors": use},
            ),
        ),
        **_verbs(kind),
        **_invoke(kind),
    }


def _verbs(kind: str) -> dict[str, Any]:
    title = kind.capitalize()
    named = (PROJECT, NAME)
    every: dict[str, Any] = {"tag": "definitions", "answer": DONE, "errors": ("404", "501")}
    return {
        f"{P}/{kind}s/{{name}}/versions": paths(
            get=Operation(
                name=f"list{title}Versions",
                meaning=f"List all versions of a {kind}.",
                tag="definitions",
                parameters=named,
                answer=listed(kind, ref("Summary")),
                errors=("404",),
            )
        ),
        f"{P}/{kind}s/{{name}}/deploy": paths(
            get=Operation(name=f"deploy{title}", meaning=DEPLOYING[kind], parameters=(*named, DRY_RUN), **every)
        ),
        f"{P}/{kind}s/{{name}}/undeploy": paths(
            get=Operation(name=f"undeploy{title}", meaning="There is nothing to undo.", parameters=named, **every)
        ),
    }


def _invoke(kind: str) -> dict[str, Any]:
    prefix, ports, port = (
        ("skillinvoke", "inputs", "input") if kind == "skill" else ("agentinvoke", "services", "service")
    )
    entry = in_path("entry", f"The name of the {port}.", pattern="^[^/]+$")
    started = {
        "type": "object",
        "properties": {"success": {"const": True}, "activationId": {"type": "string"}},
        "required": ["success", "activationId"],
    }
    operation = Operation(
        name=f"invoke{kind.capitalize()}",
        meaning=f"Start an activation of a {kind}; with `sync` the answer is its record, once it has ended.",
        tag="activations",
        parameters=(
            PROJECT,
            NAME,
            entry,
            flag("sync", "Wait for the end; white space comes meanwhile."),
            EXECUTOR,
            COLD,
        ),
        body=Body(schema=ref("Invocation"), example={"payload": {"text": "to be or not"}}),
        answer=Answer(schema={"anyOf": [ref("Activation"), started]}),
        errors=("404", "409", "501"),
    )
    return {f"{P}/{prefix}/{{name}}/{ports}/{{entry}}": paths(post=operation)}


DRY_RUN = flag("dryrun", "Only say what would start.")
OUTPUT = in_query("output", "As what.", enum=["json", "yaml"], default="json")
FILTER = in_query("filter", 'A JSON object such as {"name": "word-count"}.', enum=['{"name":"echo"}', "{}"])
SORT = in_query("sort", "A JSON object of a key and 1 or -1.", enum=['{"updatedAt":-1}', '{"name":1}'])
MANY: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": 2**53}
COLD = flag("cold", "Without warm starts, whatever the actions say.")
EXECUTOR = in_query("executor", "Where it runs; without it where the owner runs things.", enum=["local", "docker"])
# What only the Unix socket takes: over TCP each of them is refused, unless it is empty.
FILES: dict[str, tuple[dict[str, Any], ...]] = {
    "skill": (
        in_header("x-fabric-source", "The directory of its files, percent-encoded; Unix socket only.", maxLength=0),
        in_header("x-fabric-images", "The image of each action: percent-encoded JSON; Unix socket only.", maxLength=0),
    ),
    "agent": (),
}
DEPLOYING = {"skill": "Start its daemons; the rest can be invoked since it was saved.", "agent": "Saving has done it."}
EXAMPLES: dict[str, Any] = {
    "skill": {
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
    "agent": {
        "camel": "1.0.0",
        "name": "words",
        "skills": [{"skillName": "word-count"}],
        "mappings": [{"from": "input", "to": "word-count"}, {"from": "word-count", "to": "output"}],
    },
}
PATHS: dict[str, Any] = {**_paths("skill"), **_paths("agent")}
