"""One option for all methods: ``python launch/tune.py --config FILE --methods tent,dusa --grid section.key=A,B``."""

from __future__ import annotations

import argparse
import shlex
import sys

from dusa_ignite.commands.many_runs import add_run_options, planned
from dusa_ignite.comparison import plan_tuning, run_all, write_tuning
from dusa_ignite.errors import report_errors
from dusa_ignite.runs.folder import log_to


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Run every method with every value of an option on the same stream, and say which value is best. "
        "Choose on data that is not reported on. Finished runs are reused, unfinished ones go on.",
        epilog="example: python launch/tune.py --config configs/digits.yaml --methods tent,dusa "
        "--grid optimizer.lr=1e-4,1e-3,1e-2 data.severities=[3] name=tuning",
    )
    add_run_options(parser, seeds="0", required=True)
    parser.add_argument("--grid", required=True, metavar="section.key=A,B,...", help="the values to try")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="change options for all")
    return parser.parse_intermixed_args(arguments)


@report_errors
def main(arguments: list[str]) -> int:
    """Try them all; the exit code is 2 where something given cannot be used, 75 where a signal stopped it."""
    options = parse(arguments)
    log_to(None)
    tuning = plan_tuning(**planned(options), grid=options.grid)
    code = run_all(tuning.plan.runs, overwrite=options.overwrite, past_failures=True)
    if code == 0:
        print(f"\n{write_tuning(tuning, command=shlex.join(['python', 'launch/tune.py', *arguments]))}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
