"""What the local executor reads from a Dockerfile."""

from __future__ import annotations

from pathlib import Path

import pytest

from fabric_jobs.executors import dockerfile
from fabric_jobs.scaffold.templates import render

HERE = Path("/skills/s/actions/a")
SEED = """\
ARG SCUTTLE_IMAGE
ARG BASE_IMAGE=python:3.12-slim
FROM ${SCUTTLE_IMAGE} AS scuttle
FROM ${BASE_IMAGE}
COPY --from=scuttle /scuttle /bin/scuttle
WORKDIR /app
COPY ./requirements.txt /app/requirements.txt
ADD . /app
RUN pip install -r /app/requirements.txt
ENTRYPOINT ["scuttle", "python", "/app/main.py"]
"""


def program(text: str) -> tuple[str, ...]:
    return dockerfile.read(text).program(HERE)


def test_the_dockerfile_of_fabric() -> None:
    assert program(SEED) == ("python", f"{HERE}/main.py")


@pytest.mark.parametrize("template", ["job", "send-message", "stream"])
def test_the_dockerfile_of_a_template(template: str, tmp_path: Path) -> None:
    render(template, "a", tmp_path)
    action = tmp_path / "skills/a/actions/a"
    found = dockerfile.read((action / "Dockerfile").read_text())
    assert (found.program(action), found.notes) == (("python", str(action / "main.py")), ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('ENTRYPOINT ["a"]', ("a",)),
        ('CMD ["a", "b"]', ("a", "b")),
        ('ENTRYPOINT ["a"]\nCMD ["b"]', ("a", "b")),
        ('CMD ["b"]\nENTRYPOINT ["a"]', ("a", "b")),
        ('ENTRYPOINT ["a"]\nENTRYPOINT ["b"]', ("b",)),
        ('FROM x\nENTRYPOINT ["a"]\nFROM y\nCMD ["b"]', ("b",)),
        ('FROM x\nENTRYPOINT ["a"]\nFROM y', ()),
        ("FROM x", ()),
        ("", ()),
        ('entrypoint ["a"]', ("a",)),
        ('  ENTRYPOINT   ["a"]  ', ("a",)),
        ('ENTRYPOINT ["a", \\\n  "b"]', ("a", "b")),
        ('ENTRYPOINT ["a", \\\n# a comment in between\n  "b"]', ("a", "b")),
        ('# ENTRYPOINT ["no"]\nCMD ["a"]', ("a",)),
        ('ENTRYPOINT ["/scuttle", "a"]', ("a",)),
        ('ENTRYPOINT ["scuttle"]\nCMD ["a"]', ("a",)),
        ('ENTRYPOINT ["/usr/local/bin/scuttle", "python", "-m", "scuttle"]', ("python", "-m", "scuttle")),
        ('ENTRYPOINT ["a"]\nRUN [', ("a",)),
        ('ENTRYPOINT []\nCMD ["a"]', ("a",)),
        ('CMD ["ä b", "c\\"d"]', ("ä b", 'c"d')),
    ],
)
def test_the_program(text: str, expected: tuple[str, ...]) -> None:
    assert program(text) == expected


@pytest.mark.parametrize(
    ("copy", "word", "expected"),
    [
        ("ADD . /app", "/app/main.py", f"{HERE}/main.py"),
        ("COPY . /app/", "/app/main.py", f"{HERE}/main.py"),
        ("COPY ./ /app", "/app", str(HERE)),
        ("COPY --chown=1:1 . /app", "/app/x/y.py", f"{HERE}/x/y.py"),
        ("COPY . /app", "/application/main.py", "/application/main.py"),
        ("COPY . /app", "--file=/app/x", f"--file={HERE}/x"),
        ("COPY . /app\nCOPY . /other", "/other/x", f"{HERE}/x"),
        ("COPY --from=build . /app", "/app/x", "/app/x"),
        ("COPY src /app", "/app/x", "/app/x"),
        ("COPY . /", "/main.py", f"{HERE}/main.py"),
    ],
)
def test_paths_of_the_image_are_paths_of_the_action(copy: str, word: str, expected: str) -> None:
    assert program(f'FROM x\n{copy}\nENTRYPOINT ["python", "{word}"]') == ("python", expected)


def test_the_words_before_the_copy_count_as_well() -> None:
    assert program('ENTRYPOINT ["/app/main"]\nCOPY . /app') == (f"{HERE}/main",)


def test_what_another_stage_copied_does_not_count() -> None:
    assert program('FROM x\nCOPY . /app\nFROM y\nENTRYPOINT ["/app/main"]') == ("/app/main",)


# In a directory


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Return an action's directory."""
    for path in ("main.py", "src/work.py", "src/inner/deep.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("WORKDIR /app\nCOPY . .", "/app/main.py", "main.py"),
        ("WORKDIR /srv\nWORKDIR app\nCOPY . ./", "/srv/app/main.py", "main.py"),
        ("COPY main.py /app/run.py", "/app/run.py", "main.py"),
        ("COPY main.py /app/", "/app/main.py", "main.py"),
        ("COPY main.py src/work.py /app/", "/app/work.py", "src/work.py"),
        ('COPY ["main.py", "/app/"]', "/app/main.py", "main.py"),
        ("WORKDIR /app\nCOPY main.py .", "/app/main.py", "main.py"),
        ("COPY *.py /app/", "/app/main.py", "main.py"),
        ("COPY src /app", "/app/work.py", "src/work.py"),
        ("COPY src/ /app/src/", "/app/src/inner/deep.py", "src/inner/deep.py"),
        ("ARG D=/x\nARG D\nENV TO=$D/app\nCOPY . ${TO}", "/x/app/main.py", "main.py"),
        ("COPY . ${TO:-/app}", "/app/main.py", "main.py"),
        ("COPY . /old\nFROM base AS last\nCOPY --from=build /old /app", "/app/main.py", "main.py"),
        ("COPY . /old\nFROM base\nCOPY --from=build /old/src /app", "/app/work.py", "src/work.py"),
        ("COPY . /app\nFROM build\nENV A=1", "/app/main.py", "main.py"),
        ("COPY . /app\nCOPY src /app", "/app/main.py", "main.py"),
    ],
)
def test_files_are_found_where_they_were_copied_from(here: Path, text: str, path: str, expected: str) -> None:
    words = f'FROM base AS build\n{text}\nENTRYPOINT ["{path}", "/etc/hosts"]'
    assert dockerfile.read(words).program(here) == (str(here / expected), "/etc/hosts")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("WORKDIR /app\nCOPY . .", ""),
        ("WORKDIR /app/src\nCOPY . /app", "src"),
        ("WORKDIR /app\nCOPY src .", "src"),
        ("WORKDIR /app\nCOPY src/work.py .", "src"),
        ("WORKDIR /elsewhere\nCOPY . /app", ""),
        ("WORKDIR /app/gone\nCOPY . /app", ""),
        ("COPY . /app", ""),
    ],
)
def test_the_working_directory(here: Path, text: str, expected: str) -> None:
    assert dockerfile.read(text).directory(here) == here / expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "ENV A=1 B='two words' C=\"three more words\" D=a\\ b",
            {"A": "1", "B": "two words", "C": "three more words", "D": "a b"},
        ),
        ("ENV A one two", {"A": "one two"}),
        ("ENV A=1\nENV B=${A}2 A=3 C=$A", {"A": "3", "B": "12", "C": "1"}),
        ("ENV A='$B' B=\\$C", {"A": "$B", "B": "$C"}),
        ("ENV A=${B:-x} C=${D:+y}z E=$", {"A": "x", "C": "z", "E": "$"}),
        ("ARG V=1\nENV A=$V", {"A": "1"}),
        ("ENV A=1 \\\n  # why\n  B=2", {"A": "1", "B": "2"}),
        ("ENV PYTHONPATH=/app/src:/opt\nCOPY . /app", {"PYTHONPATH": "HERE/src:/opt"}),
        ("ENV A=1\nFROM other", {}),
        ("RUN <<END\nENV A=1\nEND\nENV B=2", {"B": "2"}),
        ("ENV", {}),
    ],
)
def test_variables(here: Path, text: str, expected: dict[str, str]) -> None:
    found = dockerfile.read(f"FROM python\n{text}").variables(here)
    assert found == {name: value.replace("HERE", str(here)) for name, value in expected.items()}


def test_the_default_of_an_argument_before_the_first_stage(here: Path) -> None:
    text = "ARG V=3.12\nFROM python:$V\nARG V\nENV A=$V"
    assert dockerfile.read(text).variables(here) == {"A": "3.12"}
    assert dockerfile.read("ARG V=3.12\nFROM python:$V\nENV A=$V").variables(here) == {"A": ""}


@pytest.mark.parametrize("name", ["LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "PYTHONHOME"])
def test_a_variable_of_the_loader_is_not_set_here_and_remarked(here: Path, name: str) -> None:
    found = dockerfile.read(f"FROM python:3\nENV A=1 {name}=/usr/lib/libjemalloc.so.2\nENV OLD_{name}=2")
    assert found.variables(here) == {"A": "1", f"OLD_{name}": "2"}
    (note,) = found.notes
    assert str(note).startswith(f"Dockerfile line 2: '{name}' is not set on this machine")


def test_the_shell_form(here: Path) -> None:
    text = "COPY . /app\nENTRYPOINT scuttle cd /app/src && python work.py --to=/app/out > /dev/null\nCMD ignored"
    shell, option, script = dockerfile.read(text).program(here)
    assert (shell, option) == ("/bin/sh", "-c")
    assert script == f"cd {here}/src && python work.py --to={here}/out > /dev/null"
    assert dockerfile.read('SHELL ["bash", "-ec"]\nCMD a').program(here) == ("bash", "-ec", "a")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM python:3.12-slim", []),
        ("FROM registry:5000/team/cortex-python-lib:6@sha256:0", []),
        ("FROM debian:12", ["the base image 'debian:12'"]),
        ("FROM debian AS a\nFROM python", []),
        ("FROM debian AS a\nFROM a", ["the base image 'debian'"]),
        ("RUN pip install --no-cache-dir -r /app/requirements.txt", []),
        ("RUN python -m pip install --upgrade pip && pip3 install -r requirements.txt", []),
        ('RUN ["pip", "install", "-r", "requirements.txt"]', []),
        ("RUN pip install -r dev.txt", ["of dev.txt"]),
        ("RUN --mount=type=cache,target=/x pip install numpy==2 pandas", ["of numpy==2, pandas"]),
        ("RUN apt-get update \\\n && apt-get install -y git libgomp1 \\\n && rm -rf /var/lib", ["git, libgomp1"]),
        ("RUN apk add --no-cache git; mkdir /x", ["that git is"]),
        ("RUN DEBIAN_FRONTEND=noninteractive apt install git", ["that git is"]),
        ("RUN useradd me && make -C src", ["'make -C src'"]),
        ("COPY --from=golang:1 /go/tool /bin/", ["'/go/tool', which is copied from 'golang:1'"]),
        ("COPY --from=x /scuttle /bin/scuttle", []),
        ("ADD https://x/y.bin /y", ["'https://x/y.bin' is not fetched"]),
        ("USER me\nEXPOSE 80\nVOLUME /x\nLABEL a=b\nHEALTHCHECK NONE\nSTOPSIGNAL 9", []),
    ],
)
def test_what_is_not_carried_out_is_noted(text: str, expected: list[str]) -> None:
    notes = dockerfile.read(text).notes
    assert len(notes) == len(expected)
    for note, words in zip(notes, expected, strict=True):
        assert words in note.text


def test_a_note_has_its_line() -> None:
    notes = dockerfile.read("FROM python\n# RUN a\n\nRUN make \\\n  all\nRUN make more").notes
    assert [str(note) for note in notes] == [
        "Dockerfile line 4: 'make all' is not run on this machine",
        "Dockerfile line 6: 'make more' is not run on this machine",
    ]


@pytest.mark.parametrize(
    "text", ["ENV ${", "COPY", "COPY x", "FROM", "ARG", "WORKDIR", "ENV =", "\\", "RUN <<E", "SHELL x", 'ENV A="']
)
def test_what_is_no_dockerfile_is_passed_over(here: Path, text: str) -> None:
    found = dockerfile.read(f"{text}\n")
    assert found.program(here) == ()
    assert found.directory(here) == here
    found.variables(here)
