"""Templates in a directory or a git repository: which are found, what runs, what is refused, what remains."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs.errors import AlreadyExists, FabricJobsError, InvalidInput, NotFound, PlaceUnavailable
from fabric_jobs.scaffold import git
from fabric_jobs.scaffold.sources import Source, source_of
from fabric_jobs.scaffold.templates import list_templates, render

SKILL = "skills/{{cookiecutter.name}}/skill.yaml"


@pytest.fixture(autouse=True)
def _without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")


def write(path: Path, text: str, *, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def add_template(directory: Path, *, files: dict[str, str] | None = None, **fields: object) -> Path:
    """Write a template that makes a skill.yaml, and `files` beside it."""
    write(directory / "cookiecutter.json", json.dumps({"name": "x", **fields}))
    for path, text in {SKILL: "name: {{cookiecutter.name}}\n", **(files or {})}.items():
        write(directory / "{{cookiecutter.name}}" / path, text)
    return directory


def add_hook(directory: Path, text: str, *, name: str = "post_gen_project.sh") -> None:
    write(directory / "hooks" / name, f"#!/bin/sh\n{text}\n")


def tree(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


def refused(error: type[FabricJobsError], text: str, root: Path, *, trust: bool = True) -> str:
    """Return the error for a refused template, and check that nothing is written."""
    with pytest.raises(error) as caught:
        render(text, "made", root / "workspace", trust=trust)
    assert not (root / "workspace").exists()
    return str(caught.value)


def source(text: str) -> Source:
    """Return the source for `text`, which is not the shipped one."""
    found = source_of(text)
    assert found is not None
    return found


# -- trust -------------------------------------------------------------------------------------------


def test_without_trust_nothing_runs_and_what_would_is_said(tmp_path: Path) -> None:
    directory = add_template(tmp_path / "etl", _extensions=["local_extensions.Upper"])
    add_hook(directory, f"touch {tmp_path}/ran")
    write(directory / "local_extensions.py", f"open('{tmp_path}/imported', 'w')")
    said = refused(InvalidInput, str(directory), tmp_path, trust=False)
    assert f"{directory} comes from elsewhere and is code" in said
    assert "hooks/post_gen_project.sh, local_extensions.Upper would run" in said
    assert "add --trust" in said
    (listed,) = list_templates(source(str(directory)))
    assert listed.code == ("hooks/post_gen_project.sh", "local_extensions.Upper")
    assert not list(tmp_path.glob("ran")) + list(tmp_path.glob("imported"))


def test_a_repository_is_not_even_fetched_without_trust(tmp_path: Path) -> None:
    assert "Nothing was fetched" in refused(InvalidInput, f"file://{tmp_path}/none.git", tmp_path, trust=False)


def test_hooks_and_extensions_run_with_trust(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = {"bin/start.sh": "#!/bin/sh\n", "docs/{{cookiecutter.name}}.md": "{{ cookiecutter.name | shout }}"}
    directory = add_template(tmp_path / "etl", files=files, _extensions=["shouting.Shout"])
    (directory / "{{cookiecutter.name}}/bin/start.sh").chmod(0o755)
    write(
        directory / "shouting.py",
        "from jinja2.ext import Extension\n"
        "class Shout(Extension):\n"
        "    def __init__(self, environment):\n"
        "        super().__init__(environment)\n"
        "        environment.filters['shout'] = str.upper\n",
    )
    add_hook(directory, "echo talk; cat; echo {{cookiecutter.name}} > docs/hooked")
    before = tree(directory)
    render(str(directory), "made", tmp_path / "workspace", trust=True)
    workspace = tmp_path / "workspace"
    assert tree(workspace) == ["bin/start.sh", "docs/hooked", "docs/made.md", "skills/made/skill.yaml"]
    assert (workspace / "docs/made.md").read_text() == "MADE"
    assert (workspace / "docs/hooked").read_text() == "made\n"
    assert os.access(workspace / "bin/start.sh", os.X_OK)
    assert not os.access(workspace / "docs/made.md", os.X_OK)
    assert capfd.readouterr() == ("", "talk\n")
    assert tree(directory) == before


# -- directories -------------------------------------------------------------------------------------


def test_a_bare_name_is_one_that_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_template(tmp_path / "etl")
    monkeypatch.chdir(tmp_path)
    assert "write ./etl" in refused(NotFound, "etl", tmp_path)
    render("./etl", "made", tmp_path / "workspace", trust=True)
    assert tree(tmp_path / "workspace") == ["skills/made/skill.yaml"]


def test_of_several_one_has_to_be_named(tmp_path: Path) -> None:
    add_template(tmp_path / "all/skill_templates/two", _title="Two", _description="It is.")
    add_template(tmp_path / "all/skill_templates/one")
    add_template(tmp_path / "all/.hidden/three")
    listed = list_templates(source(f"{tmp_path}/all"))
    assert [(template.name, template.title) for template in listed] == [
        ("skill_templates/one", "skill_templates/one"),
        ("skill_templates/two", "Two"),
    ]
    said = refused(InvalidInput, f"{tmp_path}/all", tmp_path)
    assert "several templates: skill_templates/one, skill_templates/two" in said
    assert f"--template {tmp_path}/all/skill_templates/one" in said
    render(listed[1].address, "made", tmp_path / "workspace", trust=True)


def test_a_directory_with_one_template_is_enough(tmp_path: Path) -> None:
    add_template(tmp_path / "all/one")
    assert render(f"{tmp_path}/all", "made", tmp_path / "workspace", trust=True)


def test_what_is_no_template_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "is not a template" in refused(InvalidInput, f"{tmp_path}/empty", tmp_path)
    assert "does not exist" in refused(NotFound, f"{tmp_path}/none", tmp_path)
    write(tmp_path / "file", "")
    assert "is a file" in refused(InvalidInput, f"{tmp_path}/file", tmp_path)
    write(tmp_path / "old/job/metadata.json", "{}")
    assert "metadata.json, which fabric-jobs does not support" in refused(InvalidInput, f"{tmp_path}/old", tmp_path)
    write(add_template(tmp_path / "a") / "cookiecutter.json", "{")
    assert "is not JSON" in refused(InvalidInput, f"{tmp_path}/a", tmp_path)
    write(tmp_path / "a/cookiecutter.json", '{"project": "x"}')
    assert "has no 'name'" in refused(InvalidInput, f"{tmp_path}/a", tmp_path)


def test_a_template_has_to_make_a_skill(tmp_path: Path) -> None:
    directory = add_template(tmp_path / "etl")
    add_hook(directory, "mv skills/made skills/other")
    assert "does not contain skills/made/skill.yaml" in refused(InvalidInput, str(directory), tmp_path)


# -- what goes wrong while it is rendered ------------------------------------------------------------


@pytest.mark.parametrize("path", ["../../out", "/tmp/../{root}/out", "a/../../../out"])
def test_a_name_that_leads_elsewhere_is_refused_before_it_is_made(path: str, tmp_path: Path) -> None:
    evil = path.replace("{root}", str(tmp_path))
    directory = add_template(tmp_path / "etl", evil=evil, files={"{{cookiecutter.evil}}": "x"})
    assert "outside of the workspace" in refused(InvalidInput, str(directory), tmp_path)
    assert not list(tmp_path.rglob("out"))


def test_links_are_refused(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret", "mine")
    directory = add_template(tmp_path / "etl")
    link = directory / "{{cookiecutter.name}}/link"
    link.symlink_to(secret)
    assert "the link link leads out of the template" in refused(InvalidInput, str(directory), tmp_path)
    link.unlink()
    add_hook(directory, f"ln -s {tmp_path} link")
    assert "makes a link" in refused(InvalidInput, str(directory), tmp_path)


def test_files_for_git_itself_are_refused(tmp_path: Path) -> None:
    directory = add_template(tmp_path / "etl", files={".git/hooks/pre-commit": "x"})
    assert "for git itself" in refused(InvalidInput, str(directory), tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [("{{ cookiecutter.unknown }}", "unknown"), ("{% if %}", "Expected an expression"), ("{{ 1 // 0 }}", "zero")],
)
def test_what_jinja_cannot_render_is_bad_input(content: str, said: str, tmp_path: Path) -> None:
    directory = add_template(tmp_path / "etl", files={"file": content})
    message = refused(InvalidInput, str(directory), tmp_path)
    assert "'etl' cannot be rendered" in message
    assert said in message


@pytest.mark.parametrize(
    "path", [f"{{{{cookiecutter.name}}}}/{Path(SKILL).parent}/main.py", "hooks/pre_gen_project.sh"]
)
def test_a_file_that_is_no_utf_8_is_named(path: str, tmp_path: Path) -> None:
    directory = add_template(tmp_path / "etl")
    write(directory / path, "").write_bytes("# first\nname = 'Müller' # {{cookiecutter.name}}\n".encode("latin-1"))
    message = refused(InvalidInput, str(directory), tmp_path)
    assert f"{path}, line 2, is not UTF-8. Save it as UTF-8, or list it in '_copy_without_render'." in message


def test_a_file_that_is_not_rendered_may_have_any_bytes(tmp_path: Path) -> None:
    directory = add_template(tmp_path / "etl", _copy_without_render=["*.csv"])
    content = "name;Müller\n".encode("latin-1")
    write(directory / "{{cookiecutter.name}}" / Path(SKILL).parent / "names.csv", "").write_bytes(content)
    render(str(directory), "made", tmp_path / "workspace", trust=True)
    assert (tmp_path / "workspace" / "skills" / "made" / "names.csv").read_bytes() == content


@pytest.mark.parametrize("hook", ["pre_gen_project.sh", "post_gen_project.sh"])
def test_a_hook_that_fails_leaves_nothing(hook: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    directory = add_template(tmp_path / "etl")
    add_hook(directory, "echo because >&2; exit 3", name=hook)
    assert "exit status: 3" in refused(InvalidInput, str(directory), tmp_path)
    assert capfd.readouterr().err == "because\n"


def test_nothing_that_exists_is_overwritten(tmp_path: Path) -> None:
    directory = add_template(tmp_path / "etl", files={"README.md": "theirs"})
    mine = write(tmp_path / "workspace/README.md", "mine")
    with pytest.raises(AlreadyExists):
        render(str(directory), "made", tmp_path / "workspace", trust=True)
    assert (tree(tmp_path / "workspace"), mine.read_text()) == (["README.md"], "mine")


# -- git ---------------------------------------------------------------------------------------------


def run_git(*words: str, directory: Path) -> str:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *words]
    return subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the URL of a bare repository with two templates on main, and only one of them at v1 and on old/line."""
    work, bare = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("bare") / "shared.git"
    run_git("init", "--quiet", "-b", "main", directory=work)
    add_template(work / "etl", _title="First")
    run_git("add", ".", directory=work)
    run_git("commit", "--quiet", "-m", "first", directory=work)
    run_git("tag", "v1", directory=work)
    run_git("branch", "old/line", directory=work)
    add_template(work / "etl", _title="Second")
    add_template(work / "more/web")
    (work / "more/up").symlink_to("../..")
    run_git("add", ".", directory=work)
    run_git("commit", "--quiet", "-m", "second", directory=work)
    run_git("clone", "--quiet", "--bare", str(work), str(bare), directory=work)
    return f"file://{bare}"


def titles(url: str) -> list[str]:
    return [template.title for template in list_templates(source(url))]


def test_a_repository_is_fetched_at_its_ref(repository: str, tmp_path: Path) -> None:
    commit = run_git("rev-parse", "v1", directory=Path(repository.removeprefix("file://")))
    assert titles(repository) == ["Second"]
    assert titles(f"{repository}//more") == ["web"]
    for ref in ("v1", "old/line", commit):
        assert titles(f"{repository}@{ref}") == ["First"]
    assert render(f"{repository}@v1//etl", "made", tmp_path / "workspace", trust=True)
    assert tree(tmp_path / "workspace") == ["skills/made/skill.yaml"]


def test_nothing_of_a_repository_stays(repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    lines: list[str] = []
    list_templates(source(repository), lines.append)
    assert lines[0] == f"Fetching {repository} …"
    assert list(tmp_path.iterdir()) == []


def test_the_repository_of_the_caller_is_left_alone(
    repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_git("init", "--quiet", directory=tmp_path)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    before = tree(tmp_path)
    assert titles(repository) == ["Second"]
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("rest", "error", "said"),
    [
        ("@v9", NotFound, "no branch, tag or commit 'v9'"),
        ("//none", NotFound, "does not exist"),
        ("//etl/cookiecutter.json", InvalidInput, "is a file"),
        ("//more/up", InvalidInput, "leads out of its repository"),
        ("//../etl", InvalidInput, "is not the URL"),
        ("@--upload-pack=x", InvalidInput, "is not the URL"),
        ("@v1:main", InvalidInput, "is not the URL"),
        (".none", NotFound, "there is no git repository"),
    ],
)
def test_what_a_repository_does_not_have(
    rest: str, error: type[FabricJobsError], said: str, repository: str, tmp_path: Path
) -> None:
    assert said in refused(error, repository + rest, tmp_path)


def test_a_bare_repository_is_named_as_a_url(repository: str, tmp_path: Path) -> None:
    assert f"as a URL: {repository}" in refused(InvalidInput, repository.removeprefix("file://"), tmp_path)


def test_an_unreachable_host_is_a_place_that_is_away(tmp_path: Path) -> None:
    said = refused(PlaceUnavailable, "http://me:secret@127.0.0.1:1/templates.git", tmp_path)
    assert "http://127.0.0.1:1/templates.git cannot be reached" in said
    assert "secret" not in said


class Locked(http.server.BaseHTTPRequestHandler):
    """A server that requires a password."""

    def do_GET(self) -> None:
        """Ask for the password."""
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="templates"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def locked() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Locked) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/templates.git"
        server.shutdown()
        thread.join()


def test_no_password_is_asked_for(locked: str, tmp_path: Path) -> None:
    assert "requires a login" in refused(PlaceUnavailable, locked, tmp_path)


def test_a_host_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "FETCH_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/templates.git"
        assert "within 1s" in refused(PlaceUnavailable, url, tmp_path)


def test_without_git_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "git, which is not installed" in refused(PlaceUnavailable, "file:///none.git", tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://h.org/a/b.git", ("https://h.org/a/b.git", "", "")),
        ("https://h.org/a/b@v1.2//c/d", ("https://h.org/a/b", "v1.2", "c/d")),
        ("https://h.org/a/b.git@feature/x//c", ("https://h.org/a/b.git", "feature/x", "c")),
        ("file:///home/a@b/c.git", ("file:///home/a@b/c.git", "", "")),
        ("ssh://git@h.org/a/b@main", ("ssh://git@h.org/a/b", "main", "")),
        ("git@h.org:a/b.git@v1//c/", ("git@h.org:a/b.git", "v1", "c")),
    ],
)
def test_a_url_is_read_in_one_way(text: str, expected: tuple[str, str, str]) -> None:
    found = source(text)
    assert (found.url, found.ref, found.below) == expected
