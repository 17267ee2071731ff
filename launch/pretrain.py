"""Train the demo's models on clean digits: ``python launch/pretrain.py --config FILE [section.key=value ...]``."""

from __future__ import annotations

import argparse
import sys

from dusa_ignite.config import read_config, to_yaml
from dusa_ignite.errors import report_errors
from dusa_ignite.pretraining.config import PretrainConfig


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Train the demo's classifier and flow transformer on clean digits.",
        epilog="example: python launch/pretrain.py --config configs/digits_pretrain.yaml output_dir=runs/mine seed=1",
    )
    parser.add_argument("--config", required=True, help="YAML file, see configs/digits_pretrain.yaml")
    parser.add_argument("--print-config", action="store_true", help="print the resolved config and exit")
    parser.add_argument("--overwrite", action="store_true", help="replace the results in output_dir")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="change options of the config")
    return parser.parse_intermixed_args(arguments)


@report_errors
def main(arguments: list[str] | None = None) -> int:
    """Run; the exit code is 2 where something given cannot be used."""
    options = parse(arguments)
    config = read_config(options.config, options.overrides, schema=PretrainConfig)
    if options.print_config:
        print(to_yaml(config), end="")
        return 0
    from dusa_ignite.pretraining.digits import pretrain
    from dusa_ignite.runs import (
        folder as run_folder,  # what follows imports torch, which printing a config does not need
    )

    run_folder.log_to(None)
    pretrain(config, overwrite=options.overwrite)
    return 0


if __name__ == "__main__":
    sys.exit(main())
