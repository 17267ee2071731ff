"""A door to the command ``dusa-ignite report``, for ``python launch/report.py`` and ``torchrun``."""

import sys

from dusa_ignite.commands.report import main

if __name__ == "__main__":
    sys.exit(main(prog="python launch/report.py"))
