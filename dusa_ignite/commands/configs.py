"""The configs that travel with the package: ``dusa-ignite configs``, and ``dusa-ignite configs convnext > my.yaml``."""

from __future__ import annotations

import argparse

from dusa_ignite.errors import ConfigError, report_errors
from dusa_ignite.utils.shipped import shipped_configs, shipped_folder


def parser(prog: str | None) -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog=prog, description="List the shipped configs, or print one to copy it.")
    parser.add_argument("name", nargs="?", help="Print this one.")
    return parser


@report_errors
def main(arguments: list[str] | None = None, prog: str | None = None) -> int:
    """List, or print one; the exit code is 2 where there is none of that name."""
    options = parser(prog).parse_args(arguments)
    known = shipped_configs()
    if options.name is None:
        width = max(map(len, known))
        print("\n".join(f"{name:{width}}  {line}" for name, line in known.items()))
        return 0
    name = options.name.removesuffix(".yaml")
    if name not in known:
        raise ConfigError(f"{options.name}: no shipped config; there are {', '.join(known)}")
    print((shipped_folder() / f"{name}.yaml").read_text(encoding="utf-8"), end="")
    return 0
