"""Health, numbers, versions, and the document itself."""

from __future__ import annotations

from typing import Any

from fabric_jobs.gateway.openapi.parts import TEXT, Answer, Operation, paths, ref


def _public(name: str, meaning: str, answer: Answer, **more: Any) -> dict[str, Any]:
    return paths(get=Operation(name=name, meaning=meaning, tag="operating", answer=answer, security="none", **more))


READY = Answer(schema=ref("Ready"))
NOT_READY = Answer(schema={"anyOf": [ref("Ready"), ref("Error")]}, meaning="Not now; `checks` says why.")
PATHS: dict[str, Any] = {
    "/fabric/v4/info": _public("info", "Time and version.", Answer(schema=ref("Info"))),
    "/fabric/v4/compatibility/applications/cortex-cli": paths(
        get=Operation(
            name="compatibility",
            meaning="Which versions of Fabric's command may call.",
            tag="operating",
            answer=Answer(
                schema={"type": "object", "properties": {"semver": {"type": "string"}}, "required": ["semver"]}
            ),
        )
    ),
    "/healthz": _public("healthz", "The process answers.", Answer(schema={"type": "object"})),
    "/readyz": _public("readyz", "The store takes writes, and the engine runs.", READY, more={"503": NOT_READY}),
    "/metrics": paths(
        get=Operation(
            name="metrics",
            meaning="Numbers in Prometheus' text format.",
            tag="operating",
            answer=Answer(schema={"type": "string"}, media_type=TEXT),
        )
    ),
    "/openapi.json": _public("openapi", "This document.", Answer(schema={"type": "object"})),
}
