"""Every option of a config: ``dusa-ignite schema`` for editors, ``dusa-ignite schema --markdown`` to read."""

from __future__ import annotations

import argparse

from dusa_ignite.errors import report_errors


def parser(prog: str | None) -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Print the JSON schema of a run's config. An editor that knows it completes and checks the options "
        "of a YAML file whose first line is: # yaml-language-server: $schema=schema.json",
        epilog="example: dusa-ignite schema > schema.json",
    )
    parser.add_argument("--markdown", action="store_true", help="Print tables of all options instead, as Markdown.")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--pretrain", action="store_true", help="Print what belongs to the config of the digits' pre-training instead."
    )
    kind.add_argument("--shapes", action="store_true", help="Likewise, for the pre-training on canvases.")
    kind.add_argument(
        "--own", action="store_true", help="Likewise, for training a guide or a classifier for your own classes."
    )
    return parser


@report_errors
def main(arguments: list[str] | None = None, prog: str | None = None) -> int:
    """Print."""
    options = parser(prog).parse_args(arguments)
    from dusa_ignite.config import Config
    from dusa_ignite.config.reference import json_schema, markdown
    from dusa_ignite.pretraining.config import PretrainConfig
    from dusa_ignite.pretraining.own.config import OwnConfig
    from dusa_ignite.pretraining.shapes_config import ShapesConfig
    from dusa_ignite.utils.section import Section

    kinds: dict[str, type[Section]] = {"pretrain": PretrainConfig, "shapes": ShapesConfig, "own": OwnConfig}
    schema: type[Section] = next((kind for name, kind in kinds.items() if getattr(options, name)), Config)
    show = markdown if options.markdown else json_schema
    print(show(schema), end="")
    return 0
