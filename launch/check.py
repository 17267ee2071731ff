"""A door to the command ``dusa-ignite check``, for ``python launch/check.py``."""

import sys

from dusa_ignite.commands.check import main

if __name__ == "__main__":
    sys.exit(main(prog="python launch/check.py"))
