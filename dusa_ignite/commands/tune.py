"""Options for all methods: ``dusa-ignite tune --config FILE --methods tent,dusa --grid section.key=A,B``."""

from __future__ import annotations

import argparse
import shlex
import sys

from dusa_ignite.commands.many_runs import add_run_options, planned
from dusa_ignite.errors import report_errors


def parser(prog: str | None) -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Run every method with every value of an option, or every combination of several, on the same "
        "stream, and say which is best. Choose on data that is not reported on. Finished runs are reused, unfinished "
        "ones are resumed.",
        epilog="example: dusa-ignite tune --config digits --methods tent,dusa --grid optimizer.lr=1e-4,1e-3,1e-2 "
        "data.severities=[3] name=tuning",
    )
    add_run_options(parser, seeds="0", required=True)
    parser.add_argument(
        "--grid",
        action="append",
        required=True,
        metavar="section.key=A,B,C",
        help="An option, and the values to try, in YAML; may be repeated: then every combination is tried.",
    )
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="Change options for all methods.")
    return parser


@report_errors
def main(arguments: list[str] | None = None, prog: str | None = None) -> int:
    """Try them all; the exit code is 2 where something given cannot be used, 75 where a signal stopped it."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser(prog).parse_intermixed_args(arguments)
    from dusa_ignite.comparison import check_labels, plan_tuning, run_all, write_tuning
    from dusa_ignite.runs.folder import log_to

    log_to(None)
    tuning = plan_tuning(**planned(options), grids=options.grid)
    check_labels(tuning.plan.runs, overwrite=options.overwrite)
    code = run_all(tuning.plan.runs, overwrite=options.overwrite, past_failures=True)
    if code == 0:
        print(f"\n{write_tuning(tuning, command=shlex.join(['dusa-ignite', 'tune', *arguments]))}")
    return code
