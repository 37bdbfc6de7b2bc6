"""`.env`: what is read without bash is what bash would export."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.runtime.cortex_worker import environment_file
from fabric_jobs.runtime.cortex_worker.environment_file import variables


def written(directory: Path, text: str) -> dict[str, str]:
    (directory / ".env").write_text(text)
    return variables(str(directory))


def test_there_may_be_no_file(tmp_path: Path) -> None:
    assert variables(str(tmp_path)) == {}


def test_plain_lines_need_no_bash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    text = "# keys\nA=1\nexport B='two words'\n\nC=\"x=y #z\" # the third\nD=\nE=https://host:80/path?\n"
    assert written(tmp_path, text.replace("?", "")) == {
        "A": "1",
        "B": "two words",
        "C": "x=y #z",
        "D": "",
        "E": "https://host:80/path",
    }


def test_bash_reads_what_only_bash_understands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE", "/data")
    found = written(tmp_path, 'DIR=$BASE/in\nBOTH="$DIR:$(echo out)"\nTEXT="a\nb"\necho noise\n')
    assert found == {"DIR": "/data/in", "BOTH": "/data/in:out", "TEXT": "a\nb"}


def test_a_file_that_bash_refuses_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.env is not valid: .*unexpected"):
        written(tmp_path, "A=$(\n")
    (tmp_path / ".env").write_bytes(b"A=\xff")
    with pytest.raises(ValueError, match=r"\.env cannot be read"):
        variables(str(tmp_path))


VALUES = st.text(st.sampled_from("ab1 ./:=,@%+^-_#~'\"\\$`!*{}()&;|<>\t"), max_size=6)


@given(st.sampled_from(["A={}", "export A={}", "A='{}'", 'A="{}"', "A={} # c"]), VALUES)
def test_what_is_read_here_is_what_bash_exports(form: str, value: str) -> None:
    line = form.format(value)
    found = environment_file.plain(line)
    if found is None:
        return  # bash reads it
    script = f"set -a\n{line}\nprintf '%s' \"$A\""
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, env={})
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, found.get("A", ""), "")
