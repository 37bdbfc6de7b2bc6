"""{{ cookiecutter.name }}: a web server that starts once and answers every message.

Change answer() and try it:  python3 -c 'import main; print(main.answer({"number": 1}))'
"""

from typing import Any

from fastapi import Body, FastAPI

app = FastAPI(title="{{ cookiecutter.name }}")


def answer(payload: Any) -> Any:
    """Return what the next skill gets for this payload; an exception is a failure of this message only."""
    return payload


@app.post("/invoke")
def invoke(message: dict[str, Any] = Body()) -> dict[str, Any]:
    return {"payload": answer(message["payload"])}


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}
