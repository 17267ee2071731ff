"""Adapt a classifier to a stream of tasks: ``python launch/main.py --config FILE [section.key=value ...]``."""

from __future__ import annotations

import argparse
import sys

import ignite.distributed as idist

from dusa_ignite.config import load_config, to_yaml
from dusa_ignite.errors import UserError


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Adapt a classifier to a stream of tasks.",
        epilog="example: python launch/main.py --config configs/digits.yaml name=try data.limit=200 optimizer.lr=1e-4",
    )
    parser.add_argument("--config", required=True, help="YAML file, see configs/")
    parser.add_argument("--print-config", action="store_true", help="print the resolved config and exit")
    parser.add_argument("--overwrite", action="store_true", help="replace the results of an earlier run of this name")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="change options of the config")
    return parser.parse_intermixed_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run; the exit code is 2 where something given cannot be used."""
    options = parse(arguments)
    try:
        config = load_config(options.config, options.overrides)
        if options.print_config:
            print(to_yaml(config), end="")
            return 0
        from dusa_ignite import run_folder  # what follows imports torch, which printing a config does not need
        from dusa_ignite.adapt import adapt
        from dusa_ignite.distributed import backend_from_environment

        run_folder.log_to(None)
        with idist.Parallel(backend=backend_from_environment()) as parallel:
            parallel.run(adapt, config, options.overwrite)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
