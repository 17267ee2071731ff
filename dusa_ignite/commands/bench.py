"""What an update and a checkpoint cost: ``dusa-ignite bench --config FILE [section.key=value ...]``."""

from __future__ import annotations

import argparse

from dusa_ignite.errors import report_errors
from dusa_ignite.utils.paths import expanded


def parser(prog: str | None) -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Measure the cost of an update and of a checkpoint, on random images: no data set is needed, and "
        "weights may be random.",
    )
    parser.add_argument("--config", required=True, help="A YAML file, or the name of a shipped config.")
    parser.add_argument("--updates", type=int, default=5, help="Time so many updates, after one that is not timed.")
    parser.add_argument("--pixels", type=int, default=224, help="The side of the random images.")
    parser.add_argument(
        "--folder",
        type=expanded,
        help="Also write a checkpoint there, into a temporary folder; and one in the background, which takes as much "
        "host memory, unless checkpoint.background=false.",
    )
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="Change options of the config.")
    return parser


@report_errors
def main(arguments: list[str] | None = None, prog: str | None = None) -> int:
    """Measure and print; the exit code is 2 where something given cannot be used."""
    options = parser(prog).parse_intermixed_args(arguments)
    from dusa_ignite.config import load_config
    from dusa_ignite.results.tables import text_table
    from dusa_ignite.runs.bench import measure
    from dusa_ignite.utils.shipped import locate_config

    config = load_config(locate_config(options.config), options.overrides)
    rows = measure(config, updates=options.updates, pixels=options.pixels, folder=options.folder)
    print(text_table([f"{config.name}, {config.method.name}", ""], rows))
    return 0
