"""One option for all methods: ``python launch/tune.py --config FILE --methods tent,dusa --grid section.key=A,B``."""

from __future__ import annotations

import argparse
import os
import shlex
import sys

from dusa_ignite.errors import ConfigError, UserError


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Run every method with every value of an option on the same stream, and say which value is best. "
        "Choose on data that is not reported on. Finished runs are reused, unfinished ones go on.",
        epilog="example: python launch/tune.py --config configs/digits.yaml --methods tent,dusa "
        "--grid optimizer.lr=1e-4,1e-3,1e-2 data.severities=[3] name=tuning",
    )
    parser.add_argument("--config", required=True, help="YAML file, see configs/")
    parser.add_argument("--methods", required=True, help="separated by commas; label=method for a second row of one")
    parser.add_argument("--grid", required=True, metavar="section.key=A,B,...", help="the values to try")
    parser.add_argument("--seeds", default="0", help="separated by commas (default 0)")
    parser.add_argument("--output", metavar="DIR", help="folder of the runs (default <output_dir>/<name>)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="METHOD:section.key=value",
        dest="own",
        help="change an option for one method; may be repeated",
    )
    parser.add_argument("--overwrite", action="store_true", help="run everything again")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="change options for all")
    return parser.parse_intermixed_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Try them all; the exit code is 2 where something given cannot be used, 75 where a signal stopped it."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    try:
        return tune(options, command=shlex.join(["python", "launch/tune.py", *arguments]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def tune(options: argparse.Namespace, *, command: str) -> int:
    """Plan, run, report."""
    if "LOCAL_RANK" in os.environ:
        raise ConfigError("torchrun: the runs are started one by one; start it with python")
    from dusa_ignite.comparison import plan_tuning, run_all, write_tuning
    from dusa_ignite.run_folder import log_to

    log_to(None)
    tuning = plan_tuning(
        options.config,
        methods=options.methods,
        grid=options.grid,
        seeds=options.seeds,
        overrides=options.overrides,
        own_overrides=options.own,
        output=options.output,
        overwrite=options.overwrite,
    )
    code = run_all(tuning.plan.runs, overwrite=options.overwrite, past_failures=True)
    if code == 0:
        print(f"\n{write_tuning(tuning, command=command)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
