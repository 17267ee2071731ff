"""A door to the command ``dusa-ignite bench``, for ``python launch/bench.py`` and ``torchrun``."""

import sys

from dusa_ignite.commands.bench import main

if __name__ == "__main__":
    sys.exit(main(prog="python launch/bench.py"))
