"""What weights are, and the config lines that use them: ``dusa-ignite inspect FILE|FOLDER``."""

from __future__ import annotations

import argparse

from dusa_ignite.errors import report_errors


def parser(prog: str | None) -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=prog, description="Say what weights are and print the config lines that use them. Nothing in them is run."
    )
    parser.add_argument("weights", metavar="FILE|FOLDER", help="Also hf-hub:<repo> and hub:<repo>:<file>.")
    parser.add_argument("--json", action="store_true", help="Print all that is known as JSON.")
    return parser


@report_errors
def main(arguments: list[str] | None = None, prog: str | None = None) -> int:
    """Print it; the exit code is 2 where nothing can be read, or the weights cannot be used."""
    options = parser(prog).parse_args(arguments)
    import json

    from dusa_ignite.errors import USER_ERROR
    from dusa_ignite.models.inspect_text import as_text
    from dusa_ignite.models.inspect_weights import inspect_weights

    report = inspect_weights(options.weights)
    print(json.dumps(report.as_dict(), indent=2) if options.json else as_text(report))
    return 0 if report.problem is None else USER_ERROR
