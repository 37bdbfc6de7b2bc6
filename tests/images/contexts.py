"""A build context, and patterns that exclude parts of it."""

from __future__ import annotations

from pathlib import Path

FILES = ("a/b/c/x.txt", "a/b/x.py", "a/y.py", "b/a/x.py", "b/z", "c.d/.hid", "c.d/e+f", "x.py", ".env", "[q]", "a b/c")
DOCKERFILE = "FROM scratch\nCOPY . /\n"
ALL = {*FILES, "Dockerfile", ".dockerignore"}

# Lines of .dockerignore, and the files that they exclude.
TABLE: list[tuple[str, set[str]]] = [
    ("", set()),
    ("# x.py\n\n   \n", set()),
    (" # x.py", set()),  # not a comment, since it is not at the start of the line
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
# Rules of the newest versions only. Older ones treat `+` as in a regular expression, and do not look into an excluded
# directory for an exception with `*`.
NEWEST: list[tuple[str, set[str]]] = [
    ("c.d/e+f", {"c.d/e+f"}),
    ("a\n!**/x.py", {"a/b/c/x.txt", "a/y.py"}),
    ("*\n!**/*.py", ALL - {"x.py", "a/y.py", "a/b/x.py", "b/a/x.py"}),
]


def write_context(directory: Path) -> Path:
    """Write a build context whose image contains everything sent to Docker."""
    for path in FILES:
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(path)
    (directory / "Dockerfile").write_text(DOCKERFILE)
    (directory / "empty").mkdir()
    (directory / "link").symlink_to("a")
    (directory / ".dockerignore").write_text("")
    return directory
