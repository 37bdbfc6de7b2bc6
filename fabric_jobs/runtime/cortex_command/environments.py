"""The environments in `cli.yaml`: the gateways that the command can call, by name."""

from __future__ import annotations

import json
import os
import re
from typing import NamedTuple

from .refused import Refused

FILE = "cli.yaml"
LINE = re.compile(r"(?P<indent> *)(?P<item>- +)?(?P<key>[A-Za-z_]+) *:(?: +(?P<value>.*?))? *")
COMMENT = re.compile(r"(^| +)#.*$")


class Environments(NamedTuple):
    """The content of a `cli.yaml`."""

    default: str  # a name; empty: none
    endpoints: dict[str, str]  # URLs by name
    others: tuple[tuple[str, str], ...] = ()  # other keys and their values, as they are written

    def endpoint(self, name: str) -> str:
        """Return the URL of an environment, of the default one if `name` is empty; raise Refused."""
        wanted = name or self.default
        if not wanted:
            raise Refused(
                "cli.env_not_configured",
                "there is no default environment.",
                "Make one: fabric-jobs-cortex env configure NAME --operator-endpoint URL",
            )
        if wanted not in self.endpoints:
            known = ", ".join(self.endpoints) or "none"
            raise Refused(
                "cli.env_not_found",
                f"there is no environment '{wanted}'; known: {known}.",
                f"Make it: fabric-jobs-cortex env configure {wanted} --operator-endpoint URL",
            )
        return self.endpoints[wanted]

    def shown(self) -> dict[str, object]:
        """Return them as the Python client reads them."""
        listed = [{"name": name, "operator_endpoint": url} for name, url in self.endpoints.items()]
        return {"default_environment": self.default or None, "environments": listed}

    def with_one(self, name: str, url: str) -> Environments:
        """Return them with one more, or another one of that name; the first becomes the default."""
        return self._replace(default=self.default or name, endpoints={**self.endpoints, name: url})

    def without(self, name: str) -> Environments:
        """Return them without one; raise Refused if there is none of that name."""
        self.endpoint(name)
        left = {key: url for key, url in self.endpoints.items() if key != name}
        return self._replace(default="" if self.default == name else self.default, endpoints=left)


def directory() -> str:
    """Return the directory of the configuration."""
    return os.environ.get("CORTEX_CLI_CONFIG_DIR") or os.path.expanduser("~/.cortex")


def load(place: str) -> Environments:
    """Return the environments of a configuration directory; none if it has no file. Raises Refused."""
    path = os.path.join(place, FILE)
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return Environments("", {})
    except (OSError, UnicodeDecodeError) as error:
        raise Refused("cli.config", f"{path} cannot be read: {error}.") from error
    try:
        return parsed(text)
    except ValueError as error:
        hint = "Correct or delete the file; `fabric-jobs-cortex env configure` writes it anew."
        raise Refused("cli.config", f"{path}: {error}.", hint) from error


def save(place: str, found: Environments) -> None:
    """Write the environments into a configuration directory; raise Refused."""
    path = os.path.join(place, FILE)
    partial = f"{path}.{os.getpid()}"
    try:
        os.makedirs(place, mode=0o700, exist_ok=True)
        with open(partial, "w", encoding="utf-8") as file:
            file.write(written(found))
        os.replace(partial, path)
    except OSError as error:
        raise Refused("cli.config", f"{path} cannot be written: {error.strerror or error}.") from error


def parsed(text: str) -> Environments:
    """Return the environments of a text: the few forms of YAML that such files have, or JSON; raise ValueError."""
    if text.lstrip().startswith("{"):
        whole = json.loads(text)
        rows = [{key: str(value) for key, value in row.items()} for row in whole.get("environments") or []]
        top = {key: value for key, value in whole.items() if key != "environments" and value is not None}
        spelled = {key: json.dumps(value) for key, value in top.items()}
    else:
        spelled, rows = _lines(text)
    default = _scalar(spelled.pop("default_environment", ""))
    endpoints = {row["name"]: row.get("operator_endpoint", "") for row in rows if row.get("name")}
    return Environments(default, endpoints, tuple(spelled.items()))


def written(found: Environments) -> str:
    """Return the text of environments; a JSON text is a scalar of YAML, too."""
    lines = [f"{key}: {value}" for key, value in found.others]
    if found.default:
        lines.append(f"default_environment: {json.dumps(found.default)}")
    lines.append("environments:" if found.endpoints else "environments: []")
    for name, url in found.endpoints.items():
        lines += [f"- name: {json.dumps(name)}", f"  operator_endpoint: {json.dumps(url)}"]
    return "\n".join(lines) + "\n"


def _lines(text: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Return the keys of the mapping, as they are written, and the environments."""
    top: dict[str, str] = {}
    rows: list[dict[str, str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line if '"' in line or "'" in line else COMMENT.sub("", line)
        if not bare.strip() or bare.strip() == "---" or bare.lstrip().startswith("#"):
            continue
        found = LINE.fullmatch(bare)
        if found is None:
            raise ValueError(f"line {number} is not of the form 'key: value'")
        key, value = found["key"], found["value"] or ""
        if found["item"]:
            rows.append({key: _scalar(value)})
        elif found["indent"] and rows:
            rows[-1][key] = _scalar(value)
        elif key == "environments" and value not in ("", "[]", "null", "~"):
            raise ValueError(f"line {number} is not the beginning of a list")
        elif not found["indent"] and key != "environments":
            top[key] = value
    return top, rows


def _scalar(text: str) -> str:
    if text.startswith('"'):
        return str(json.loads(text))
    if text.startswith("'") and text.endswith("'") and len(text) > 1:
        return text[1:-1].replace("''", "'")
    return "" if text in ("null", "~") else text
