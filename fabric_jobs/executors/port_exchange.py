"""Replaces the declared port with another one, where a command or a variable certainly means it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from fabric_jobs.executors import shell_form

# Options and variables that say where the program itself listens. DB_PORT, in contrast, is another program's.
OWN = (
    r"(?:http|https|server|web|app|api|service|listen|bind"
    r"|uvicorn|gunicorn|hypercorn|flask|flask[-_]run|gradio[-_]server|streamlit[-_]server)"
)
OPTION = re.compile(
    rf"-[pPlLbB]|-{{1,2}}(?:{OWN}[-_.]?)?port|-{{1,2}}(?:listen|bind)(?:[-_.]?(?:port|addr|address))?", re.I
)
VARIABLE = re.compile(rf"(?:{OWN}_)?PORT", re.I)
# A shell word that can be a number or an address.
SHELL_WORD = re.compile(r"""[^\s;|&()<>"'`]+""")
HERE = r"(?:0\.0\.0\.0|127\.0\.0\.1|localhost|\[::1?\]|\*)"
SHOWN = 60  # characters of a command quoted in a remark


class Exchange:
    """Exchanges one port for another, and notes where a number stayed because it may mean something else."""

    def __init__(self, declared: str, given: str) -> None:
        """`declared` and `given` are ports, as text."""
        self._declared = declared
        self._given = given
        self._left: list[str] = []
        self._address = re.compile(rf"(?<![\w.:\])-])((?:\w+://)?{HERE}?:){declared}(?![\w.:-])")

    def words(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """Return a command line with the new port, as the value of a port option, in a listen address, or as a whole argument."""
        text = shell_form.text_at(words)
        parts = words if text is None else tuple(found[0] for found in SHELL_WORD.finditer(words[text]))
        befores = ("", *parts)
        is_said = any(self._is_own(before, word) for before, word in zip(befores, parts, strict=False))
        made = [self._word(before, word, is_said=is_said) for before, word in zip(befores, parts, strict=False)]
        if text is None:
            return tuple(made)
        changed = iter(made)
        return (*words[:text], SHELL_WORD.sub(lambda _: next(changed), words[text]), *words[text + 1 :])

    def variables(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return variables with the new port, as the value of a port variable or in a listen address."""
        made = {}
        for name, value in values.items():
            if value == self._declared and not VARIABLE.fullmatch(name):
                self._left.append(f"the variable {name}")
                made[name] = value
            else:
                made[name] = self._given if value == self._declared else self._in_address(value)
        return made

    def remarks(self) -> tuple[str, ...]:
        """Return one remark for each place where the declared port stayed, but may be meant."""
        return tuple(
            f"{where} still has {self._declared}, which may not be the port. The port of this run is in the variable PORT"
            for where in dict.fromkeys(self._left)
        )

    def _in_address(self, text: str) -> str:
        return self._address.sub(lambda found: found[1] + self._given, text)

    def _is_own(self, before: str, word: str) -> bool:
        """Tell whether a word certainly says which port the program listens on."""
        option, equals, value = word.rpartition("=")
        if value == self._declared:
            return (
                bool(OPTION.fullmatch(option) or VARIABLE.fullmatch(option))
                if equals
                else bool(OPTION.fullmatch(before))
            )
        return bool(re.fullmatch(rf"-[pP]{self._declared}", word)) or self._in_address(word) != word

    def _word(self, before: str, word: str, *, is_said: bool) -> str:
        is_alone = word == self._declared
        if self._is_own(before, word) or (is_alone and not is_said and not before.startswith("-")):
            changed = self._in_address(word)
            return changed if changed != word else word.removesuffix(self._declared) + self._given
        if is_alone or word.rpartition("=")[2] == self._declared:
            self._left.append(f"'{before} {word}'"[:SHOWN] if is_alone else f"'{word}'"[:SHOWN])
        return word
