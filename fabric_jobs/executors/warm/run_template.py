"""Runs a template process. The file is short because each child frees its parsed code, page by page."""

import os
import sys

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import template  # type: ignore[import-not-found]  # beside this file: the package may not be there

    del sys.modules["template"], sys.modules["child"]
    program = template.main()
    with program:
        program.load()
        program.run(*program.given)  # the only frame of ours below the program's
