"""What the local executor reads out of a Dockerfile."""

from __future__ import annotations

from pathlib import Path

import pytest

from fabric_jobs.executors import dockerfile

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


def test_the_dockerfile_of_the_templates() -> None:
    assert program(SEED) == ("python", f"{HERE}/main.py")


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


@pytest.mark.parametrize("keyword", ["ENTRYPOINT", "CMD"])
def test_the_shell_form_gets_the_arguments_too(keyword: str) -> None:
    assert program(f"{keyword} python /app/main.py --fast") == (
        "/bin/sh",
        "-c",
        'python /app/main.py --fast "$@"',
        "sh",
    )


@pytest.mark.parametrize(
    ("copy", "word", "expected"),
    [
        ("ADD . /app", "/app/main.py", f"{HERE}/main.py"),
        ("COPY . /app/", "/app/main.py", f"{HERE}/main.py"),
        ("COPY ./ /app", "/app", str(HERE)),
        ("COPY --chown=1:1 . /app", "/app/x/y.py", f"{HERE}/x/y.py"),
        ("COPY . /app", "/application/main.py", "/application/main.py"),
        ("COPY . /app", "--file=/app/x", "--file=/app/x"),
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
