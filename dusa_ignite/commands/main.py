"""The command ``dusa-ignite``: finds the command that is asked for, and hands the rest over to it."""

from __future__ import annotations

import argparse
import importlib
import sys

import dusa_ignite
from dusa_ignite.errors import ConfigError, report_errors
from dusa_ignite.utils.nearest import nearest

COMMANDS = {
    "adapt": "Adapt a classifier to a stream of tasks.",
    "check": "Find out whether a run can begin, without writing anything.",
    "compare": "Run methods on the same stream, with the same seeds, and compare them.",
    "tune": "Run every method with every value of an option, and say which value is best.",
    "report": "Print the accuracies of runs side by side.",
    "pretrain": "Train a guide or a classifier for your own classes, or the demo's models.",
    "bench": "Measure what an update costs, in variants side by side.",
    "inspect": "Say what a weights file or folder is, and which config lines use it.",
    "configs": "List the configs that travel with the package, or print one.",
    "schema": "Print the JSON schema of the config, or a reference of all options.",
}


@report_errors
def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit code is the command's, 2 where there is none of that name."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="dusa-ignite",
        description="Diffusion-guided test-time adaptation of image classifiers.",
        epilog="commands:\n"
        + "\n".join(f"  {name:9} {what}" for name, what in COMMANDS.items())
        + "\n\n`dusa-ignite COMMAND --help` tells of a command's options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"dusa-ignite {dusa_ignite.__version__}")
    parser.add_argument("command", metavar="COMMAND", help="One of those below.")
    name = parser.parse_args(arguments[:1]).command
    if name not in COMMANDS:
        raise ConfigError(f"{name}: no such command, did you mean {nearest(name, COMMANDS)}? ({' | '.join(COMMANDS)})")
    command = importlib.import_module(f"dusa_ignite.commands.{name}")
    return command.main(arguments[1:], prog=f"dusa-ignite {name}")
