"""Adapt a classifier to a stream of tasks: ``dusa-ignite adapt --config FILE [section.key=value ...]``."""

from __future__ import annotations

import argparse

from dusa_ignite.errors import ConfigError, report_errors


def parser(prog: str | None) -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Adapt a classifier to a stream of tasks.",
        epilog="example: dusa-ignite adapt --config digits name=try data.limit=200 optimizer.lr=1e-4",
    )
    parser.add_argument("--config", required=True, help="A YAML file, or the name of a shipped config.")
    parser.add_argument("--print-config", action="store_true", help="Print the resolved config and end.")
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument("--overwrite", action="store_true", help="Replace the results of an earlier run of this name.")
    earlier.add_argument("--resume", action="store_true", help="Resume an unfinished run of this name.")
    parser.add_argument("--nproc", type=int, default=1, metavar="N", help="Start N >= 1 processes on this machine.")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="Change options of the config.")
    return parser


@report_errors
def main(arguments: list[str] | None = None, prog: str | None = None) -> int:
    """Run; the exit code is 2 where something given cannot be used, 75 where a signal stopped a run."""
    options = parser(prog).parse_intermixed_args(arguments)
    if options.nproc < 1:
        raise ConfigError(f"--nproc: {options.nproc} is not allowed; allowed: an integer >= 1")
    from dusa_ignite.config import load_config, to_yaml
    from dusa_ignite.utils.shipped import locate_config

    overrides = [*options.overrides, *(["resume=auto"] if options.resume else [])]
    config = load_config(locate_config(options.config), overrides)
    if options.print_config:
        print(to_yaml(config), end="")
        return 0
    from dusa_ignite.distributed.launch import launch
    from dusa_ignite.runs.adapt import adapt

    return launch(adapt, config, options.overwrite, nproc=options.nproc, timeout=config.distributed.timeout_minutes)
