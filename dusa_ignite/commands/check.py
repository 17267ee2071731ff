"""Everything that can be known before a run: ``dusa-ignite check --config FILE [section.key=value ...]``."""

from __future__ import annotations

import argparse

from dusa_ignite.errors import report_errors


def parser(prog: str | None) -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Find out whether a run can begin: data, classes, weights, clean images and output folder. "
        "Nothing is written.",
        epilog="example: dusa-ignite check --config digits name=try data.limit=200",
    )
    parser.add_argument("--config", required=True, help="A YAML file, or the name of a shipped config.")
    parser.add_argument("--json", action="store_true", help="Print all that was found as one JSON object.")
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument("--overwrite", action="store_true", help="The run may replace an earlier one of this name.")
    earlier.add_argument("--resume", action="store_true", help="The run may resume an unfinished one of this name.")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="Change options of the config.")
    return parser


@report_errors
def main(arguments: list[str] | None = None, prog: str | None = None) -> int:
    """Print what was found; the exit code is 2 where there is a problem."""
    options = parser(prog).parse_intermixed_args(arguments)
    import json
    import sys
    from contextlib import redirect_stdout

    from dusa_ignite.config import load_config
    from dusa_ignite.errors import USER_ERROR, ConfigError
    from dusa_ignite.runs.check import check, invalid_config
    from dusa_ignite.utils.shipped import locate_config

    overrides = [*options.overrides, *(["resume=auto"] if options.resume else [])]
    with redirect_stdout(sys.stderr):  # whatever a library or an own part prints is not the report
        try:
            config = load_config(locate_config(options.config), overrides)
        except ConfigError as error:
            report = invalid_config(error)
        else:
            report = check(config, overwrite=options.overwrite)
    print(json.dumps(report.as_dict(), indent=2) if options.json else report.as_text())
    return USER_ERROR if report.problems else 0
