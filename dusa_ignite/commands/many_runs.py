"""What the commands that compute many runs share: ``compare`` and ``tune``."""

from __future__ import annotations

import argparse
import os
from typing import Any

from dusa_ignite.errors import ConfigError
from dusa_ignite.utils.paths import expanded
from dusa_ignite.utils.shipped import locate_config


def add_run_options(parser: argparse.ArgumentParser, *, seeds: str, required: bool) -> None:
    """Options that say which runs there are; :func:`planned` hands them on.

    Args:
        parser: gets them.
        seeds: the default of ``--seeds``.
        required: whether ``--config`` and ``--methods`` must be given.
    """
    parser.add_argument("--config", required=required, help="A YAML file, or the name of a shipped config.")
    parser.add_argument(
        "--methods",
        required=required,
        help="Their names, separated by commas; LABEL=METHOD for a second row of the same method.",
    )
    parser.add_argument("--seeds", default=seeds, help=f"Integers, separated by commas (default {seeds}).")
    parser.add_argument("--output", metavar="DIR", help="The folder of all runs (default <output_dir>/<name>).")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="METHOD:section.key=value",
        dest="own",
        help="Change an option for one method; may be repeated.",
    )
    parser.add_argument("--overwrite", action="store_true", help="Run everything again.")


def planned(options: argparse.Namespace) -> dict[str, Any]:
    """These options as the arguments of ``make_plan`` and ``plan_tuning``.

    Raises:
        ConfigError: this process is one of torchrun's, or there is no such config.
    """
    if "LOCAL_RANK" in os.environ:
        raise ConfigError("torchrun: the runs are started one by one; start this with python")
    return {
        "path": locate_config(options.config),
        "methods": options.methods,
        "seeds": options.seeds,
        "overrides": options.overrides,
        "own_overrides": options.own,
        "output": options.output and expanded(options.output),
        "overwrite": options.overwrite,
    }
