"""Methods side by side: ``dusa-ignite compare --config FILE --methods source,dusa --seeds 0,1,2 [key=value ...]``.

Or beside the paper: ``dusa-ignite compare --paper [RUN ...]``.
"""

from __future__ import annotations

import argparse
import shlex
import sys

from dusa_ignite.commands.many_runs import add_run_options, planned
from dusa_ignite.errors import ConfigError, report_errors
from dusa_ignite.utils.paths import expanded


def parser(prog: str | None) -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Run methods on the same stream, with the same seeds, and compare them. Finished runs are reused, "
        "unfinished ones are resumed: repeat an interrupted command.",
        epilog="example: dusa-ignite compare --config digits --methods source,dusa --seeds 0,1,2 data.limit=200 "
        "--set dusa:method.num_top=6",
    )
    add_run_options(parser, seeds="0,1,2", required=False)
    parser.add_argument(
        "--reference", metavar="METHOD", help="Take differences from this method (default dusa or window_dusa)."
    )
    parser.add_argument("--paper", action="store_true", help="Print the paper's tables, and runs given beside them.")
    parser.add_argument(
        "overrides", nargs="*", metavar="section.key=value", help="Change options for all methods; or RUN."
    )
    return parser


@report_errors
def main(arguments: list[str] | None = None, prog: str | None = None) -> int:
    """Compare; the exit code is 2 where something given cannot be used, 75 where a signal stopped it."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser(prog).parse_intermixed_args(arguments)
    from dusa_ignite.comparison import check_labels, compare_with_paper, make_plan, run_all, write_report
    from dusa_ignite.runs.folder import log_to

    if options.paper:
        print(compare_with_paper([expanded(run) for run in options.overrides]))
        return 0
    for name in ("config", "methods"):
        if getattr(options, name) is None:
            raise ConfigError(f"--{name}: missing; a comparison needs --config and --methods (or give --paper)")
    log_to(None)
    plan = make_plan(**planned(options), reference=options.reference)
    check_labels(plan.runs, overwrite=options.overwrite)
    code = run_all(plan.runs, overwrite=options.overwrite)
    if code == 0:
        print(f"\n{write_report(plan, command=shlex.join(['dusa-ignite', 'compare', *arguments]))}")
    return code
