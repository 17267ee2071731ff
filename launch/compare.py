"""A door to the command ``dusa-ignite compare``, for ``python launch/compare.py`` and ``torchrun``."""

import sys

from dusa_ignite.commands.compare import main

if __name__ == "__main__":
    sys.exit(main(prog="python launch/compare.py"))
