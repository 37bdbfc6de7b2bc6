"""`python -m cortex_command …`."""

import sys

from .command import Surroundings, main

sys.exit(main(sys.argv[1:], Surroundings()))
