"""Becomes the shim of a state directory, if possible; prints `ready` once it can be reached."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # It is run by its path. Its neighbours are the package `shim`, and the standard library comes before them.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    __package__ = "shim"
    __spec__ = None

    from .start import main

    main(*sys.argv[1:])
