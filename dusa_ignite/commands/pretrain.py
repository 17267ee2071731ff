"""Train the demo's models on clean digits: ``dusa-ignite pretrain --config FILE [section.key=value ...]``."""

from __future__ import annotations

import argparse

from dusa_ignite.errors import report_errors


def parser(prog: str | None) -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Train the demo's classifier and flow transformer on clean digits.",
        epilog="example: dusa-ignite pretrain --config digits_pretrain output_dir=runs/mine seed=1",
    )
    parser.add_argument("--config", required=True, help="A YAML file, or the name of a shipped config.")
    parser.add_argument("--print-config", action="store_true", help="Print the resolved config and end.")
    parser.add_argument("--overwrite", action="store_true", help="Replace the results in output_dir.")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="Change options of the config.")
    return parser


@report_errors
def main(arguments: list[str] | None = None, prog: str | None = None) -> int:
    """Run; the exit code is 2 where something given cannot be used."""
    options = parser(prog).parse_intermixed_args(arguments)
    from dusa_ignite.config import read_config, to_yaml
    from dusa_ignite.pretraining.config import PretrainConfig
    from dusa_ignite.utils.shipped import locate_config

    config = read_config(locate_config(options.config), options.overrides, schema=PretrainConfig)
    if options.print_config:
        print(to_yaml(config), end="")
        return 0
    from dusa_ignite.pretraining.digits import pretrain
    from dusa_ignite.runs.folder import log_to

    log_to(None)
    pretrain(config, overwrite=options.overwrite)
    return 0
