"""A door to the command ``dusa-ignite tune``, for ``python launch/tune.py`` and ``torchrun``."""

import sys

from dusa_ignite.commands.tune import main

if __name__ == "__main__":
    sys.exit(main(prog="python launch/tune.py"))
