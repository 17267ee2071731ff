"""What an update costs: ``dusa-ignite bench --config FILE [--variants A,B] [section.key=value ...]``."""

from __future__ import annotations

import argparse

from dusa_ignite.errors import report_errors
from dusa_ignite.utils.paths import expanded


def parser(prog: str | None) -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Measure what an update costs, in several variants side by side, and what the machine could do at "
        "most. Images are random: no data set is needed, and weights may be random.",
    )
    parser.add_argument("--config", required=True, help="A YAML file, or the name of a shipped config.")
    parser.add_argument(
        "--sizes",
        choices=("tiny", "small", "full"),
        default="full",
        help="Models and batches as the config says (full, the default), or smaller ones with random weights: small "
        "for a few CPU cores, tiny for a look at the tables.",
    )
    parser.add_argument(
        "--variants",
        help="Built-in ones and your own, with commas between them: "
        "shipped,sampled,'mine:run.tf32=true;data.micro_batch_size=16'. By default textbook,shipped,sampled for dusa, "
        "and shipped for other methods.",
    )
    parser.add_argument(
        "--parts", default="shipped", help="Variants whose parts are measured one by one, or none; default: shipped."
    )
    parser.add_argument(
        "--grow", choices=("batch", "candidates"), help="Also measure the config with more and more of them."
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="Repeat each variant for so long; default: 20.")
    parser.add_argument("--updates", type=int, help="Time so many updates instead; 0 makes the first one alone.")
    parser.add_argument("--pixels", type=int, default=224, help="The side of the random images.")
    parser.add_argument(
        "--folder",
        type=expanded,
        help="Also write a checkpoint there, into a temporary folder; and one in the background, which takes as much "
        "host memory, unless checkpoint.background=false.",
    )
    parser.add_argument("--json", type=expanded, help="Also write everything that was measured into this file.")
    parser.add_argument("--png", type=expanded, help="Also draw the images per second into this file.")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="Change options of the config.")
    return parser


@report_errors
def main(arguments: list[str] | None = None, prog: str | None = None) -> int:
    """Measure and print; the exit code is 2 where something given cannot be used."""
    options = parser(prog).parse_intermixed_args(arguments)
    import json
    import sys
    import time

    from dusa_ignite.errors import ConfigError
    from dusa_ignite.runs.bench.bench import Request, Result, run_bench
    from dusa_ignite.runs.bench.picture import plot_variants
    from dusa_ignite.runs.bench.row import Row
    from dusa_ignite.runs.bench.tables import report
    from dusa_ignite.utils.shipped import locate_config

    if options.seconds < 0 or (options.updates or 0) < 0 or options.pixels < 1:
        raise ConfigError("--seconds and --updates must be 0 or more, --pixels 1 or more")
    for option, path in (("--json", options.json), ("--png", options.png)):
        if path is not None and not path.parent.is_dir():
            raise ConfigError(f"{option}: {path.parent} is no folder; make it first")
    begun = time.perf_counter()

    def told(result: Result, row: Row) -> None:
        """Say it at once, and keep it: a measurement that is cut short has not been for nothing."""
        speed = f"{row.images_per_second[0]:.3g} images/s" if row.images_per_second else row.error
        print(f"{row.name}: {speed or 'done'}, {time.perf_counter() - begun:.0f} s so far", file=sys.stderr, flush=True)
        if options.json is not None:
            options.json.write_text(json.dumps(result.as_json(), indent=1) + "\n", encoding="utf-8")

    result = run_bench(
        Request(
            locate_config(options.config),
            options.overrides,
            size=options.sizes,
            variants=options.variants,
            parts=() if options.parts == "none" else tuple(options.parts.split(",")),
            grow=options.grow,
            seconds=options.seconds,
            updates=options.updates,
            pixels=options.pixels,
            folder=options.folder,
        ),
        on_row=told,
    )
    print(report(result))
    if options.png is not None:
        about = result.about
        plot_variants(options.png, result.rows, title=f"{about['config']}, {about['method']}, size {about['size']}")
    return 1 if all(row.error for row in result.rows) else 0
