"""The glob dialect that picks the files of a job (docs/howto/job-sources.md).

`*` and `?` stop at a slash, `**` does not; `[abc]`, `[!abc]` and `[a-z]` are classes, `{a,b}` alternatives, which may contain
globs, and `\\` takes the next character as it is. A pattern is an automaton that is made deterministic while it matches, so
that the time a match takes grows with the length of the name only, whatever the pattern is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

LONGEST = 1000  # characters of a pattern
STATES = 1000  # of the deterministic automaton, kept at a time
SLASH = "/"
OPEN, COMMA, CLOSE = "{", ",", "}"
SPECIAL = "*?[{\\"

Test = Callable[[str], bool]


class Glob:
    """A pattern. Not safe to use from several threads."""

    def __init__(self, pattern: str) -> None:
        """Raise ValueError, which says what is wrong, for a pattern that cannot be read."""
        if len(pattern) > LONGEST:
            raise ValueError(f"a pattern has at most {LONGEST:,} characters, and this one has {len(pattern):,}")
        self._free: list[list[int]] = [[]]  # state -> states that are reached without a character
        self._tests: list[tuple[Test, int] | None] = [None]  # state -> what a character must be, and the next state
        self._end = _Parser(pattern, self._free, self._tests).parse()
        self._forget()

    def matches(self, text: str) -> bool:
        """Return whether the pattern matches all of a text."""
        at = 0
        for char in text:
            following = self._moves[at].get(char)
            at = self._move(at, char) if following is None else following
        return self._end in self._sets[at]

    def _forget(self) -> None:
        first = self._closed([0])
        self._sets, self._numbers = [first], {first: 0}  # number of a set of states
        self._moves: list[dict[str, int]] = [{}]  # number -> character -> number

    def _move(self, at: int, char: str) -> int:
        found = (self._tests[state] for state in self._sets[at])
        following = self._closed(test[1] for test in found if test is not None and test[0](char))
        if following not in self._numbers and len(self._sets) >= STATES:
            self._forget()
            return self._number(following)  # the row of `at` is gone
        number = self._number(following)
        if len(self._moves[at]) < STATES:
            self._moves[at][char] = number
        return number

    def _number(self, states: frozenset[int]) -> int:
        if states not in self._numbers:
            self._numbers[states] = len(self._sets)
            self._sets.append(states)
            self._moves.append({})
        return self._numbers[states]

    def _closed(self, states: Iterable[int]) -> frozenset[int]:
        pending, found = list(states), set[int]()
        while pending:
            state = pending.pop()
            if state not in found:
                found.add(state)
                pending += self._free[state]
        return frozenset(found)


class _Parser:
    """Reads a pattern from left to right, and adds a state for each part of it."""

    def __init__(self, pattern: str, free: list[list[int]], tests: list[tuple[Test, int] | None]) -> None:
        self._pattern, self._at = pattern, 0
        self._free, self._tests = free, tests

    def parse(self) -> int:
        """Return the last state; raise ValueError."""
        state = 0
        groups: list[tuple[int, int]] = []  # of the open alternatives: where they begin and where they end
        while char := self._next():
            if char == OPEN:
                begin, end = state, self._state()
                groups.append((begin, end))
                state = self._branch(begin)
            elif groups and char == COMMA:
                self._free[state].append(groups[-1][1])
                state = self._branch(groups[-1][0])
            elif groups and char == CLOSE:
                end = groups.pop()[1]
                self._free[state].append(end)
                state = end
            else:
                state = self._part(state, char)
        for _, end in reversed(groups):  # as in the original, the end of a pattern closes what is open
            self._free[state].append(end)
            state = end
        return state

    def _part(self, state: int, char: str) -> int:
        if char == "*":
            return self._star(state, _anything if self._skip("*") else _in_segment)
        if char == "?":
            return self._one(state, _in_segment)
        if char == "[":
            return self._one(state, self._class())
        if char == "\\":
            char = self._next()
            if not char:
                return state
        return self._one(state, char.__eq__)

    def _class(self) -> Test:
        wants = not self._skip("!")
        first = self._next()
        if self._peek() == "-" and first:
            self._next()
            low, high = first, self._next()
            if not high or self._next() != "]":
                raise ValueError("a class with a range has one range and nothing else, such as [a-z]")
            if high < low:
                raise ValueError(f"the range [{low}-{high}] is the wrong way round")
            return lambda char: (low <= char <= high) is wants
        chars = set[str]()
        while first and first != "]":
            chars.add(self._next() if first == "\\" else first)
            first = self._next()
        if not first:
            raise ValueError("a class is not closed: ']' is missing")
        if not chars:
            raise ValueError("a class is empty: write the characters between '[' and ']'")
        return lambda char: (char in chars) is wants

    def _next(self) -> str:
        """Return the next character, or an empty text at the end."""
        char = self._peek()
        self._at += len(char)
        return char

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _skip(self, char: str) -> bool:
        found = self._peek() == char
        self._at += found
        return found

    def _state(self) -> int:
        self._free.append([])
        self._tests.append(None)
        return len(self._free) - 1

    def _branch(self, state: int) -> int:
        made = self._state()
        self._free[state].append(made)
        return made

    def _one(self, state: int, test: Test) -> int:
        made = self._state()
        self._tests[state] = (test, made)
        return made

    def _star(self, state: int, test: Test) -> int:
        looping = self._branch(state)
        self._tests[looping] = (test, looping)
        return self._branch(looping)


def _anything(char: str) -> bool:
    return True


def _in_segment(char: str) -> bool:
    return char != SLASH
