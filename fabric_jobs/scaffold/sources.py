"""Opens sources of templates: this installation, a directory or a git repository."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from fabric_jobs import shipped
from fabric_jobs.errors import InvalidInput, NotFound
from fabric_jobs.scaffold import git
from fabric_jobs.scaffold.files import disk_errors

URL = re.compile(r"(?P<authority>[a-z][a-z0-9+.-]*://[^/]*/|[\w.+-]+@[\w.-]+:)(?P<path>.*)", re.IGNORECASE | re.DOTALL)
PASSWORD = re.compile(r"(?<=://)[^/@]*@")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source of templates. Either `directory` or `url` is set, or neither for the shipped ones."""

    text: str = ""  # as typed
    directory: Path | None = None
    url: str = ""  # a git repository
    ref: str = ""  # its branch, tag or commit; empty: the default branch
    below: str = ""  # a directory below the repository's root

    @property
    def is_shipped(self) -> bool:
        """Whether its templates ship with this installation, and so run no foreign code."""
        return self.directory is None and not self.url

    def __str__(self) -> str:
        return PASSWORD.sub("", self.text) or "included in fabric-jobs"

    def inner(self, name: str) -> str:
        """Return what to type for the template in directory `name` of this source; an empty name means the source itself."""
        if self.is_shipped or not name:
            return name or str(self)
        return f"{str(self).rstrip('/')}{'//' if self.url and not self.below else '/'}{name}"


SHIPPED = Source()


def source_of(text: str) -> Source | None:
    """Return the source for `text`: a URL, or a path that has a '/' or begins with '.'. Return None for a bare name.

    Raise InvalidInput for a malformed URL.
    """
    found = URL.fullmatch(text)
    if found:
        return _repository(text, found["authority"], found["path"])
    if "/" in text or text.startswith((".", "~")):
        return Source(text=text, directory=Path(text).expanduser())
    return None


def _repository(text: str, authority: str, rest: str) -> Source:
    path, _, below = rest.partition("//")
    if path.endswith(".git") or ".git@" not in path:
        # A '@' before the last part belongs to the path, since a ref may contain '/' only after '.git'.
        parents, slash, last = path.rpartition("/")
        last, _, ref = last.partition("@")
        path = f"{parents}{slash}{last}"
    else:
        path, _, ref = path.partition(".git@")
        path += ".git"
    source = Source(text=text, url=authority + path, ref=ref, below=below.strip("/"))
    if not path or ".." in PurePosixPath(below).parts or not git.is_ref(ref):
        raise InvalidInput(
            f"'{source}' is not the URL of a template.",
            hint="Write it as URL[@REF][//DIRECTORY], for example https://example.org/templates.git@v1//jobs/etl",
        )
    return source


@contextmanager
def opened(source: Source, progress: git.Progress) -> Iterator[Path]:
    """Give the directory of a source during the block. A repository is fetched, and removed afterwards.

    Raise NotFound if the directory, repository, ref or directory below it is missing, PlaceUnavailable if it cannot
    be fetched.
    """
    if not source.url:
        yield _existing(source.directory or shipped.templates_dir(), source)
        return
    with disk_errors(Path("the temporary directory")), TemporaryDirectory(prefix="fabric-jobs-") as name:
        root = Path(name)
        git.fetch(source.url, source.ref, root, progress, shown=str(source))
        directory = root / source.below
        if not directory.resolve().is_relative_to(root.resolve()):
            raise InvalidInput(f"{source} leads out of its repository.")
        yield _existing(directory, source)


def _existing(directory: Path, source: Source) -> Path:
    if directory.is_dir():
        if not source.url and git.is_bare(directory):
            url = f"file://{directory.resolve()}"
            raise InvalidInput(
                f"{source} is a git repository without files of its own.", hint=f"Name it as a URL: {url}"
            )
        return directory
    if os.path.lexists(directory):
        raise InvalidInput(f"{source} is a file, but a template is a directory.")
    raise NotFound(
        f"the directory {source} does not exist.", hint="A template is a directory with a cookiecutter.json in it."
    )
