"""A build context and patterns that leave out a part of it."""

from __future__ import annotations

from pathlib import Path

FILES = ("a/b/c/x.txt", "a/b/x.py", "a/y.py", "b/a/x.py", "b/z", "c.d/.hid", "c.d/e+f", "x.py", ".env", "[q]", "a b/c")
DOCKERFILE = "FROM scratch\nCOPY . /\n"
ALL = {*FILES, "Dockerfile", ".dockerignore"}

# Lines of .dockerignore, and the files that are left out.
TABLE: list[tuple[str, set[str]]] = [
    ("", set()),
    ("# x.py\n\n   \n", set()),
    (" # x.py", set()),  # not a comment: it does not begin the line
    ("x.py", {"x.py"}),
    ("  x.py  ", {"x.py"}),
    ("/x.py", {"x.py"}),
    ("./b/../x.py", {"x.py"}),
    ("*.py", {"x.py"}),
    ("*/*.py", {"a/y.py"}),
    ("**/*.py", {"x.py", "a/y.py", "a/b/x.py", "b/a/x.py"}),
    ("a", {"a/b/c/x.txt", "a/b/x.py", "a/y.py"}),
    ("a/", {"a/b/c/x.txt", "a/b/x.py", "a/y.py"}),
    ("a/**", {"a/b/c/x.txt", "a/b/x.py", "a/y.py"}),
    ("a/*", {"a/b/c/x.txt", "a/b/x.py", "a/y.py"}),
    ("**/b", {"a/b/c/x.txt", "a/b/x.py", "b/a/x.py", "b/z"}),
    ("a/**/x.txt", {"a/b/c/x.txt"}),
    ("?", {"a/b/c/x.txt", "a/b/x.py", "a/y.py", "b/a/x.py", "b/z"}),
    ("[ac]", {"a/b/c/x.txt", "a/b/x.py", "a/y.py"}),
    ("[^a]", {"b/a/x.py", "b/z"}),
    ("\\[q]", {"[q]"}),
    ("a b", {"a b/c"}),
    ("c.d/.hid", {"c.d/.hid"}),
    ("cxd", set()),
    ("*", ALL),
    ("*\n!x.py", ALL - {"x.py"}),
    ("*\n! x.py", ALL - {"x.py"}),
    ("!x.py\n*.py", {"x.py"}),
    ("a\n!a/b", {"a/y.py"}),
    ("a\n!a/b\na/b/c", {"a/y.py", "a/b/c/x.txt"}),
    ("**/*.py\n!x.py", {"a/y.py", "a/b/x.py", "b/a/x.py"}),
    ("Dockerfile\n.dockerignore", {"Dockerfile", ".dockerignore"}),
]
# What the newest versions do, and older ones do not: these take `+` as a regular expression does, and look into no
# directory that is left out for an exception with `*`.
NEWEST: list[tuple[str, set[str]]] = [
    ("c.d/e+f", {"c.d/e+f"}),
    ("a\n!**/x.py", {"a/b/c/x.txt", "a/y.py"}),
    ("*\n!**/*.py", ALL - {"x.py", "a/y.py", "a/b/x.py", "b/a/x.py"}),
]


def write_context(directory: Path) -> Path:
    """Write a build context whose image holds all that Docker is sent."""
    for path in FILES:
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(path)
    (directory / "Dockerfile").write_text(DOCKERFILE)
    (directory / "empty").mkdir()
    (directory / "link").symlink_to("a")
    (directory / ".dockerignore").write_text("")
    return directory
