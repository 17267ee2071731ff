"""What an update costs: ``dusa-ignite bench --config FILE [--variants A,B] [section.key=value ...]``."""

from __future__ import annotations

import argparse
import os

from dusa_ignite.errors import ConfigError, report_errors
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
        "shipped,sampled,'mine:run.tf32=true;data.micro_batch_size=16'. By default textbook,shipped,sampled for dusa "
        "(several processes leave textbook out), and shipped for other methods.",
    )
    parser.add_argument(
        "--parts",
        help="Variants whose parts are measured one by one, or none; by default shipped, in several processes none.",
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
    parser.add_argument(
        "--nproc",
        type=int,
        default=1,
        metavar="N",
        help="Start N >= 1 processes on this machine, which share each batch.",
    )
    parser.add_argument("--json", type=expanded, help="Also write everything that was measured into this file.")
    parser.add_argument("--png", type=expanded, help="Also draw the images per second into this file.")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="Change options of the config.")
    return parser


@report_errors
def main(arguments: list[str] | None = None, prog: str | None = None) -> int:
    """Measure and print; the exit code is 2 where something given cannot be used."""
    options = parser(prog).parse_intermixed_args(arguments)
    if options.nproc < 1:
        raise ConfigError(f"--nproc: {options.nproc} is not allowed; allowed: an integer >= 1")
    if options.seconds < 0 or (options.updates or 0) < 0 or options.pixels < 1:
        raise ConfigError("--seconds and --updates must be 0 or more, --pixels 1 or more")
    for option, path in (("--json", options.json), ("--png", options.png)):
        if path is not None and not path.parent.is_dir():
            raise ConfigError(f"{option}: {path.parent} is no folder; make it first")
    several = options.nproc > 1 or "LOCAL_RANK" in os.environ  # torchrun's
    if several and (_names(options.parts) or options.folder):
        raise ConfigError("--parts, --folder: measured in a single process only; leave them out, or start one process")
    from dusa_ignite.runs.bench.bench import Request
    from dusa_ignite.runs.bench.tell import measure_and_tell, measure_in_process
    from dusa_ignite.utils.shipped import locate_config

    request = Request(
        locate_config(options.config),
        options.overrides,
        size=options.sizes,
        variants=options.variants,
        parts=_names(options.parts),
        grow=options.grow,
        seconds=options.seconds,
        updates=options.updates,
        pixels=options.pixels,
        folder=options.folder,
    )
    if not several:
        measure_and_tell(request, json_file=options.json, png=options.png)
        return 0
    from dusa_ignite.config import load_config
    from dusa_ignite.distributed.launch import launch

    minutes = load_config(request.path, request.overrides).distributed.timeout_minutes
    return launch(measure_in_process, request, options.json, options.png, nproc=options.nproc, timeout=minutes)


def _names(text: str | None) -> tuple[str, ...] | None:
    """Of ``none`` or ``a,b``; ``None`` where nothing is given."""
    if text is None:
        return None
    return () if text == "none" else tuple(text.split(","))
