"""A door to the command ``dusa-ignite adapt``, for ``python launch/main.py`` and ``torchrun``."""

import sys

from dusa_ignite.commands.adapt import main

if __name__ == "__main__":
    sys.exit(main(prog="python launch/main.py"))
