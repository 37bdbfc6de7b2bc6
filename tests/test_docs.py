"""The documentation is true: its commands run, its lists are complete, its links work."""

from __future__ import annotations

import dataclasses
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import fabric_jobs
from fabric_jobs import errors
from fabric_jobs.cli import cli
from fabric_jobs.cli.terminal.exits import EXIT_CODES
from fabric_jobs.gateway.app import OPERATIONS
from fabric_jobs.runtime import fabric_skill
from fabric_jobs.scaffold.templates import list_templates
from fabric_jobs.settings import Settings
from fabric_jobs.states import ActivationState, TaskState
from tests.docker_place import (
    BASE_IMAGE,
    REGISTRY,
    REGISTRY_USER,
    SCUTTLE_IMAGE,
    missing_engine,
    missing_registry,
    remove_images,
)

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
SHOWN = "```console\n"
RUN = [path for path in PAGES if SHOWN in path.read_text()]
SECONDS = 150

BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>file|needs): (?P<value>\S+) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
VARIABLE = re.compile(r"\"((?:FABRIC_JOBS|CORTEX)_[A-Z_]+)\"")


def name_of(path: Path) -> str:
    """Return a page's name, as a test id."""
    return str(path.relative_to(ROOT))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """A command of a page with its printed output, or a file to write."""

    line: int
    command: str
    expected: tuple[str, ...] = ()
    may_fail: bool = False  # the next command uses the exit code

    @property
    def pattern(self) -> re.Pattern[str]:
        """The pattern of the output. `…` stands for any text in a line, and alone on a line for any lines."""
        return re.compile("".join(r"(?:.*\n)*" if line == "…" else pattern_of(line) for line in self.expected))


def pattern_of(line: str) -> str:
    """Return the pattern of one line. A gap between columns is two or more spaces, since column widths vary."""
    cells = [re.escape(cell).replace("…", ".*") for cell in re.split(r"(?<=\S) {2,}", line.rstrip())]
    return " {2,}".join(cells) + r" *\n"


def steps_of(text: str) -> Iterator[Step]:
    """Yield the steps of a page, in order."""
    for found in BLOCK.finditer(text):
        line = text[: found.start("text")].count("\n") + 1
        if found["mark"] == "file":
            path = found["value"]
            yield Step(
                line=line,
                command=f"mkdir -p $(dirname {path})\ncat > {path} <<'END_OF_FILE'\n{found['text']}END_OF_FILE",
            )
        elif found["kind"] == "console" and (found["mark"] != "needs" or is_there(found["value"])):
            yield from console_steps(found["text"], line)


def missing_in(text: str) -> list[str]:
    """Return the missing requirements of a page's blocks, each with the lines of the blocks."""
    lines: dict[str, list[str]] = {}
    for found in BLOCK.finditer(text):
        if found["mark"] == "needs" and not is_there(found["value"]):
            lines.setdefault(found["value"], []).append(str(text[: found.start("text")].count("\n") + 1))
    return [f"{what} (lines {', '.join(where)})" for what, where in lines.items()]


def is_there(what: str) -> bool:
    """Tell whether a requirement of a block is met: a Docker engine, a registry, or else a command."""
    if what == "docker":
        return not missing_engine()
    return not missing_registry() if what == "registry" else shutil.which(what) is not None


def console_steps(text: str, line: int) -> Iterator[Step]:
    """Yield the commands of one block: each begins with `$ `."""
    parts = re.split(r"^\$ ", text, flags=re.M)
    assert parts[0] == "", f"line {line}: a console block begins with a command"
    for part, after in zip(parts[1:], [*parts[2:], ""], strict=True):
        command, *expected = part.rstrip("\n").split("\n")
        yield Step(line=line, command=command, expected=tuple(expected), may_fail=after.startswith("echo $?"))
        line += 1 + len(expected)


def script_of(steps: list[Step]) -> str:
    """Return the steps as one script, which prints number and exit code after each."""
    lines = ["code=0"]
    for number, step in enumerate(steps):
        lines += [f"(exit $code)\n{step.command}", f"code=$?; printf '@@@ {number} %d\\n' $code"]
    return "\n".join(lines) + "\n"


def outputs_of(text: str) -> Iterator[tuple[str, int]]:
    """Yield output and exit code of every step."""
    start = 0
    for found in re.finditer(r"@@@ \d+ (\d+)\n", text):
        yield text[start : found.start()], int(found[1])
        start = found.end()


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    steps = list(steps_of(page.read_text()))
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FABRIC_JOBS_", "CORTEX_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]])
    environment = {**kept, "PATH": path, "FABRIC_JOBS_IDLE_SECONDS": "1", "LC_ALL": "C.UTF-8"}
    environment["FABRIC_JOBS_CACHE"] = str(tmp_path / ".cache")
    environment["FABRIC_JOBS_CONFIG_DIR"] = str(tmp_path / ".config")
    environment |= docker_environment(tmp_path)
    finished = subprocess.run(
        ["bash", "-c", script_of(steps)],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    remove_images(environment["NAMESPACE"])
    results = list(outputs_of(finished.stdout))
    assert len(results) == len(steps), finished.stdout
    for step, (output, code) in zip(steps, results, strict=True):
        where = f"{name_of(page)}:{step.line}: $ {step.command}\n{output}"
        assert step.pattern.fullmatch(output), where
        assert code == 0 or step.may_fail, f"{where}exit code {code}"
    missing = missing_in(page.read_text())
    if missing:
        pytest.skip(f"{name_of(page)}: all of it was run but what needs {'; '.join(missing)}")


def docker_environment(place: Path) -> dict[str, str]:
    """Return the environment for pages that need an engine or a registry."""
    own = {"DOCKER_CONFIG": str(place / ".docker"), "NAMESPACE": f"docs-{secrets.token_hex(6)}"}
    own["FABRIC_JOBS_BUILD_ARGS"] = f"BASE_IMAGE={BASE_IMAGE} SCUTTLE_IMAGE={SCUTTLE_IMAGE}"
    own["REGISTRY"], own["REGISTRY_USER"] = REGISTRY, REGISTRY_USER
    return {**own, "PASSWORD_FILE": os.environ.get("FABRIC_JOBS_TEST_REGISTRY_PASSWORD_FILE", "")}


def test_blocks_whose_need_is_absent_are_named() -> None:
    block = "```console\n$ true\n```\n"
    needy = f"<!-- needs: no-such-command -->\n{block}"
    assert missing_in(f"{block}<!-- needs: sh -->\n{block}") == []
    assert missing_in(f"{block}{needy}\n{needy}") == ["no-such-command (lines 6, 11)"]
    assert len(list(steps_of(f"{block}{needy}\n{needy}"))) == 1


def test_an_ellipsis_stands_for_anything_and_nothing_else_does() -> None:
    pattern = Step(line=1, command="", expected=("a … c", "…", "z")).pattern
    assert pattern.fullmatch("a b c\nz\n")
    assert pattern.fullmatch("a b c\nmore\nmore\nz\n")
    assert not pattern.fullmatch("a b\nz\n")
    assert not pattern.fullmatch("a b c\nz\nmore\n")


def test_the_gap_between_two_columns_is_as_wide_as_the_widest_cell_makes_it() -> None:
    pattern = Step(line=1, command="", expected=("a   …    1",)).pattern
    assert pattern.fullmatch("a   9   1\n")
    assert pattern.fullmatch("a  10  1\n")
    assert not pattern.fullmatch("a 10 1\n")
    assert not pattern.fullmatch("a  10  2\n")


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_version_is_that_of_the_newest_entry_of_the_changelog() -> None:
    newest = re.search(r"^## (\d\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest is not None
    assert newest[1] == fabric_jobs.__version__


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("generate_*.py")), ids=lambda path: path.stem)
def test_what_is_generated_is_up_to_date(script: Path) -> None:
    finished = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_internal_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.is_file(), f"{target} is no file"
        assert not anchor or anchor in anchors_of(there), f"{target} has no such heading"


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in found}


def test_every_section_that_code_names_is_there_and_every_fact_is_named_by_code() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "fabric_jobs").rglob("*.py"))
    named = set(re.findall(r"\bdocs/([a-z/-]+\.md)#([a-z-]+)", code))
    assert [f"{page}#{anchor}" for page, anchor in sorted(named) if anchor not in anchors_of(DOCS / page)] == []
    facts = "reference/compatibility.md"
    sections = re.findall(r"^### (.+)$", (DOCS / facts).read_text(), re.M)
    assert [title for title in sections if (facts, title.lower().replace(" ", "-")) not in named] == []


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text()
    missing = [path.name for path in DOCS.rglob("*.md") if path.name != "index.md" and path.name not in index]
    assert missing == []


def reference(name: str) -> str:
    """Return a page of the reference."""
    return (DOCS / "reference" / name).read_text()


def test_every_command_and_option_is_documented() -> None:
    page = reference("commands.md")
    context = click.Context(cli, info_name="fabric-jobs")
    missing = [word for word in command_words(context) if word not in page]
    assert missing == []


def command_words(context: click.Context) -> Iterator[str]:
    """Yield the path of every command, and all its options."""
    command = context.command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from command_words(click.Context(inner, info_name=name, parent=context))
        return
    yield f"## {context.command_path}\n"
    for param in command.params:
        yield from param.opts if isinstance(param, click.Option) else ()


def test_every_state_exit_code_and_error_is_documented() -> None:
    page = reference("settings.md")
    words = [state.value for state in (*TaskState, *ActivationState)]
    words += [str(code) for code in {0, 1, 75, 129, 130, 143, *(code for _, code in EXIT_CODES)}]
    words += [kind.__name__ for kind in all_errors(errors.FabricJobsError)]
    assert [word for word in words if not re.search(rf"^\| `{word}` \|", page, re.M)] == []


def all_errors(kind: type[errors.FabricJobsError]) -> Iterator[type[errors.FabricJobsError]]:
    """Yield an error class and its subclasses in the list of errors."""
    if kind.__module__ == errors.__name__:
        yield kind
        for inner in kind.__subclasses__():
            yield from all_errors(inner)


def test_every_environment_variable_is_documented() -> None:
    sources = [path.read_text() for path in (ROOT / "fabric_jobs").rglob("*.py")]
    names = {name for source in sources for name in VARIABLE.findall(source)}
    assert names
    page = reference("settings.md")
    assert [name for name in sorted(names) if f"| `{name}` |" not in page] == []


def test_every_limit_is_documented_with_its_value() -> None:
    page = reference("settings.md")
    settings = Settings(state_dir=Path("."), idle_seconds=5.0, advertise="")
    skipped = {
        "state_dir",
        "workspace",
        "host",
        "port",
        "until_idle",
        "project_id",
        "slots",
        "retain_days",
        "retain_bytes",
    }
    fields = [field.name for field in dataclasses.fields(Settings) if field.name not in skipped]
    missing = [name for name in fields if f"| `{name}` | {shown(name, getattr(settings, name))} |" not in page]
    assert missing == []


def shown(name: str, value: float | str) -> str:
    """Return a limit or another setting as the page shows it."""
    if isinstance(value, str):
        return f"`{value}`" if value else "none"
    if name.endswith("_bytes") and value % (1 << 20) == 0:
        return f"{value // (1 << 20):.0f} MiB"
    return f"{value:,.0f} s" if name.endswith("_seconds") else f"{value:,}"


def test_every_route_is_documented() -> None:
    page = reference("http.md")
    wanted = []
    for operation in OPERATIONS:
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", operation.path.removeprefix("/fabric/v4/projects/{project}"))
        wanted.append(f"| `{operation.method} {path}` |")
    assert [row for row in wanted if row not in page] == []


def test_every_name_of_fabric_skill_is_documented() -> None:
    page = reference("runtime.md")
    assert [name for name in fabric_skill.__all__ if f"## {name}" not in page] == []


def test_every_template_is_documented() -> None:
    text = "\n".join(path.read_text() for path in PAGES)
    assert [template.name for template in list_templates() if f"`{template.name}`" not in text] == []


def test_nothing_is_said_of_what_does_not_exist() -> None:
    context = click.Context(cli, info_name="fabric-jobs")
    known = {" ".join(word[3:].split()[1:]) for word in command_words(context) if word.startswith("## ")}
    known |= {" ".join(name.split()[:2]) for name in known}  # a group in a group
    groups = {name.split()[0] for name in known}
    for page in PAGES:
        for words in re.findall(r"fabric-jobs ((?:[a-z]+)(?: [a-z-]+)?)", page.read_text()):
            first, _, second = words.partition(" ")
            if first in groups and second:
                assert words in known or first in known, f"{name_of(page)}: fabric-jobs {words}"
