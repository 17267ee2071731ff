"""A door to the command ``dusa-ignite pretrain``, for ``python launch/pretrain.py`` and ``torchrun``."""

import sys

from dusa_ignite.commands.pretrain import main

if __name__ == "__main__":
    sys.exit(main(prog="python launch/pretrain.py"))
