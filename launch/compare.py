"""Methods side by side: ``python launch/compare.py --config FILE --methods source,dusa --seeds 0,1,2 [key=value ...]``.

Or beside the paper: ``python launch/compare.py --paper [RUN ...]``.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from dusa_ignite.errors import ConfigError, UserError


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Run methods on the same stream, with the same seeds, and compare them. Finished runs are reused, "
        "unfinished ones go on: repeat an interrupted command.",
        epilog="example: python launch/compare.py --config configs/digits.yaml --methods source,dusa --seeds 0,1,2 "
        "data.limit=200 --set dusa:method.num_top=6",
    )
    parser.add_argument("--config", help="YAML file, see configs/")
    parser.add_argument("--methods", help="separated by commas; label=method for a second row of the same method")
    parser.add_argument("--seeds", default="0,1,2", help="separated by commas (default 0,1,2)")
    parser.add_argument("--reference", metavar="METHOD", help="that differences are taken from (default dusa)")
    parser.add_argument("--output", metavar="DIR", help="folder of the comparison (default <output_dir>/<name>)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="METHOD:section.key=value",
        dest="own",
        help="change an option for one method; may be repeated",
    )
    parser.add_argument("--overwrite", action="store_true", help="run everything again")
    parser.add_argument("--paper", action="store_true", help="print the paper's tables, and runs given beside them")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="change options for all; or RUN")
    return parser.parse_intermixed_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Compare; the exit code is 2 where something given cannot be used, 75 where a signal stopped it."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    try:
        if options.paper:
            from dusa_ignite.comparison import compare_with_paper

            print(compare_with_paper([Path(run) for run in options.overrides]))
            return 0
        return compare(options, command=shlex.join(["python", "launch/compare.py", *arguments]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def compare(options: argparse.Namespace, *, command: str) -> int:
    """Plan, run, report."""
    for name in ("config", "methods"):
        if getattr(options, name) is None:
            raise ConfigError(f"--{name}: missing; a comparison needs --config and --methods (or give --paper)")
    if "LOCAL_RANK" in os.environ:
        raise ConfigError("torchrun: a comparison starts its runs itself; start it with python")
    from dusa_ignite.comparison import make_plan, run_all, write_report
    from dusa_ignite.run_folder import log_to

    log_to(None)
    plan = make_plan(
        options.config,
        methods=options.methods,
        seeds=options.seeds,
        reference=options.reference,
        overrides=options.overrides,
        own_overrides=options.own,
        output=options.output,
        overwrite=options.overwrite,
    )
    code = run_all(plan.runs, overwrite=options.overwrite)
    if code == 0:
        print(f"\n{write_report(plan, command=command)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
