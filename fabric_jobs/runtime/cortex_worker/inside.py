"""Runs a program with directories of its own at /mnt and /cortex, as in a container. It is a program of its own.

It needs Linux, and root or user namespaces that are allowed. Otherwise the program runs without.
"""

from __future__ import annotations

import os
import sys
from typing import Any

NEW_NAMESPACE, NEW_USER = 0x00020000, 0x10000000  # CLONE_NEWNS, CLONE_NEWUSER
BIND, RECURSIVE, PRIVATE = 0x1000, 0x4000, 0x40000  # MS_BIND, MS_REC, MS_PRIVATE


def command(root: str, directories: dict[str, str], words: list[str]) -> list[str]:
    """Return the command that runs `words` with `directories` (path -> directory of this machine); `root` is an empty one."""
    pairs = [f"{path}={place}" for path, place in directories.items()]
    return [sys.executable, "-I", "-S", __file__, root, *pairs, "--", *words]


def why_not(root: str, directories: dict[str, str], kept: list[str]) -> str:
    """Return why it cannot be done here, found out by a try; empty if it can. Paths in `kept` must stay visible."""
    for path in directories:
        hidden = next((each for each in kept if os.path.realpath(each).startswith(f"{path}/")), "")
        if hidden:
            return f"{hidden} would be hidden"
    if not sys.platform.startswith("linux"):
        return "this is not Linux"
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _enter(root, directories)
            code = 0
        except (OSError, AttributeError) as error:
            code = getattr(error, "errno", None) or 1
        finally:
            os._exit(min(code, 255))
    code = os.waitpid(child, 0)[1] >> 8
    return os.strerror(code) if code else ""


def main(arguments: list[str]) -> None:
    """Enter, and become the program."""
    root, *rest = arguments
    at = rest.index("--")
    where = os.getcwd()
    _enter(root, dict(pair.split("=", 1) for pair in rest[:at]))
    os.chdir(where)
    words = rest[at + 1 :]
    try:
        os.execvp(words[0], words)
    except OSError as error:
        print(f"cortex_worker: {words[0]} cannot be run: {error.strerror}", file=sys.stderr)
        os._exit(126 if isinstance(error, PermissionError) else 127)


def _enter(root: str, directories: dict[str, str]) -> None:
    """Make `root` the root of this process, with everything of the old one except what `directories` replaces."""
    import ctypes  # late: it is slow, and most workers need none of this

    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _check(libc.unshare(NEW_NAMESPACE), ctypes)
    else:
        _check(libc.unshare(NEW_NAMESPACE | NEW_USER), ctypes)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")

    def mount(source: str, target: str, kind: bytes | None, flags: int) -> None:
        names = (os.fsencode(source), os.fsencode(target))
        _check(libc.mount(*names, kind, ctypes.c_ulong(flags), None), ctypes)

    mount("none", "/", None, RECURSIVE | PRIVATE)
    mount("none", root, b"tmpfs", 0)
    for name in os.listdir("/"):
        if f"/{name}" not in directories:
            _show(f"/{name}", f"{root}/{name}", mount)
    for path, place in directories.items():
        os.makedirs(root + path)
        mount(place, root + path, None, BIND | RECURSIVE)
    os.chroot(root)
    os.chdir("/")


def _show(path: str, target: str, mount: Any) -> None:
    """Make what is at a path visible at another one."""
    if os.path.islink(path):
        os.symlink(os.readlink(path), target)
        return
    if os.path.isdir(path):
        os.mkdir(target)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
    mount(path, target, None, BIND | RECURSIVE)


def _check(result: int, ctypes: Any) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
