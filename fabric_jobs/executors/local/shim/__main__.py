"""Becomes the shim of a state directory, if possible; prints `ready` once it can be reached."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # This file is run by its path, so the package `shim` around it must be importable, but after the standard library.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    __package__ = "shim"
    __spec__ = None

    from .start import main

    main(*sys.argv[1:])
