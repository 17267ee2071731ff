"""Methods side by side: ``python launch/compare.py --config FILE --methods source,dusa --seeds 0,1,2 [key=value ...]``.

Or beside the paper: ``python launch/compare.py --paper [RUN ...]``.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from dusa_ignite.commands.many_runs import add_run_options, planned
from dusa_ignite.comparison import compare_with_paper, make_plan, run_all, write_report
from dusa_ignite.errors import ConfigError, report_errors
from dusa_ignite.runs.folder import log_to


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Run methods on the same stream, with the same seeds, and compare them. Finished runs are reused, "
        "unfinished ones go on: repeat an interrupted command.",
        epilog="example: python launch/compare.py --config configs/digits.yaml --methods source,dusa --seeds 0,1,2 "
        "data.limit=200 --set dusa:method.num_top=6",
    )
    add_run_options(parser, seeds="0,1,2", required=False)
    parser.add_argument("--reference", metavar="METHOD", help="that differences are taken from (default dusa)")
    parser.add_argument("--paper", action="store_true", help="print the paper's tables, and runs given beside them")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="change options for all; or RUN")
    return parser.parse_intermixed_args(arguments)


@report_errors
def main(arguments: list[str]) -> int:
    """Compare; the exit code is 2 where something given cannot be used, 75 where a signal stopped it."""
    options = parse(arguments)
    if options.paper:
        print(compare_with_paper([Path(run) for run in options.overrides]))
        return 0
    for name in ("config", "methods"):
        if getattr(options, name) is None:
            raise ConfigError(f"--{name}: missing; a comparison needs --config and --methods (or give --paper)")
    log_to(None)
    plan = make_plan(**planned(options), reference=options.reference)
    code = run_all(plan.runs, overwrite=options.overwrite)
    if code == 0:
        print(f"\n{write_report(plan, command=shlex.join(['python', 'launch/compare.py', *arguments]))}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
