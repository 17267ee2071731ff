"""What the commands that compute many runs share: ``launch/compare.py`` and ``launch/tune.py``."""

from __future__ import annotations

import argparse
import os
from typing import Any

from dusa_ignite.errors import ConfigError


def add_run_options(parser: argparse.ArgumentParser, *, seeds: str, required: bool) -> None:
    """Options that say which runs there are; :func:`planned` hands them on.

    Args:
        parser: gets them.
        seeds: the default of ``--seeds``.
        required: whether ``--config`` and ``--methods`` must be given.
    """
    parser.add_argument("--config", required=required, help="YAML file, see configs/")
    parser.add_argument(
        "--methods", required=required, help="separated by commas; label=method for a second row of the same method"
    )
    parser.add_argument("--seeds", default=seeds, help=f"separated by commas (default {seeds})")
    parser.add_argument("--output", metavar="DIR", help="folder of all runs (default <output_dir>/<name>)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="METHOD:section.key=value",
        dest="own",
        help="change an option for one method; may be repeated",
    )
    parser.add_argument("--overwrite", action="store_true", help="run everything again")


def planned(options: argparse.Namespace) -> dict[str, Any]:
    """These options as the arguments of ``make_plan`` and ``plan_tuning``.

    Raises:
        ConfigError: this process is one of torchrun's.
    """
    if "LOCAL_RANK" in os.environ:
        raise ConfigError("torchrun: the runs are started one by one; start this with python")
    return {
        "path": options.config,
        "methods": options.methods,
        "seeds": options.seeds,
        "overrides": options.overrides,
        "own_overrides": options.own,
        "output": options.output,
        "overwrite": options.overwrite,
    }
