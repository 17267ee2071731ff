"""``python -m dusa_ignite`` is the command ``dusa-ignite``."""

import sys

from dusa_ignite.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
