"""Adapt a classifier to a stream of tasks: ``python launch/main.py --config FILE [section.key=value ...]``."""

from __future__ import annotations

import argparse
import sys

from dusa_ignite.config import load_config, to_yaml
from dusa_ignite.errors import ConfigError, report_errors


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Adapt a classifier to a stream of tasks.",
        epilog="example: python launch/main.py --config configs/digits.yaml name=try data.limit=200 optimizer.lr=1e-4",
    )
    parser.add_argument("--config", required=True, help="YAML file, see configs/")
    parser.add_argument("--print-config", action="store_true", help="print the resolved config and exit")
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument("--overwrite", action="store_true", help="replace the results of an earlier run of this name")
    earlier.add_argument("--resume", action="store_true", help="go on with an unfinished run of this name")
    parser.add_argument("--nproc", type=int, default=1, metavar="N", help="start N >= 1 processes on this machine")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="change options of the config")
    return parser.parse_intermixed_args(arguments)


@report_errors
def main(arguments: list[str] | None = None) -> int:
    """Run; the exit code is 2 where something given cannot be used, 75 where a signal stopped a run."""
    options = parse(arguments)
    if options.nproc < 1:
        raise ConfigError(f"--nproc: {options.nproc} is not allowed; allowed: an integer >= 1")
    config = load_config(options.config, [*options.overrides, *(["resume=auto"] if options.resume else [])])
    if options.print_config:
        print(to_yaml(config), end="")
        return 0
    from dusa_ignite.distributed.launch import launch
    from dusa_ignite.runs.adapt import adapt  # imports torch, which printing a config does not need

    return launch(adapt, config, options.overwrite, nproc=options.nproc, timeout=config.distributed.timeout_minutes)


if __name__ == "__main__":
    sys.exit(main())
