"""Train a guide or a classifier for one's own classes, or the demos' models: ``dusa-ignite pretrain --config FILE``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dusa_ignite.errors import ConfigError, report_errors


def parser(prog: str | None) -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Train a guide or a classifier on a folder of labelled images (own_guide), or the demos' models "
        "on clean digits (digits_pretrain, shapes_pretrain).",
        epilog="example: dusa-ignite pretrain --config own_guide data.root=photos output_dir=runs/guide",
    )
    parser.add_argument("--config", required=True, help="A YAML file, or the name of a shipped config.")
    parser.add_argument("--print-config", action="store_true", help="Print the resolved config and end.")
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument("--overwrite", action="store_true", help="Replace the results in output_dir.")
    earlier.add_argument("--resume", action="store_true", help="Go on with an unfinished training in output_dir.")
    parser.add_argument("--nproc", type=int, default=1, metavar="N", help="Start N >= 1 processes on this machine.")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="Change options of the config.")
    return parser


@report_errors
def main(arguments: list[str] | None = None, prog: str | None = None) -> int:
    """Run; the exit code is 2 where something given cannot be used, 75 where a signal stopped a training."""
    options = parser(prog).parse_intermixed_args(arguments)
    if options.nproc < 1:
        raise ConfigError(f"--nproc: {options.nproc} is not allowed; allowed: an integer >= 1")
    from dusa_ignite.utils.shipped import locate_config

    path = locate_config(options.config)
    keys = _keys(path)
    if not keys.isdisjoint(("what", "data")):  # trains on a folder of images; the others' have neither
        return _own(path, options)
    return _shapes(path, options) if "segmenter" in keys else _digits(path, options)


def _keys(path: Path) -> set[str]:
    """The sections of a file, by which one sees what it trains."""
    from dusa_ignite.config.yaml_file import read_mapping

    return set(read_mapping(path))


def _own(path: Path, options: argparse.Namespace) -> int:
    from dusa_ignite.config import read_config, to_yaml
    from dusa_ignite.pretraining.own.config import OwnConfig

    overrides = [*options.overrides, *(["resume=auto"] if options.resume else [])]
    config = read_config(path, overrides, schema=OwnConfig)
    if options.print_config:
        print(to_yaml(config), end="")
        return 0
    from dusa_ignite.distributed.launch import launch
    from dusa_ignite.runs.pretrain import pretrain

    return launch(pretrain, config, options.overwrite, nproc=options.nproc, timeout=config.timeout_minutes)


def _shapes(path: Path, options: argparse.Namespace) -> int:
    from dusa_ignite.pretraining.shapes import pretrain
    from dusa_ignite.pretraining.shapes_config import ShapesConfig

    return _demo(path, options, schema=ShapesConfig, pretrain=pretrain)


def _digits(path: Path, options: argparse.Namespace) -> int:
    from dusa_ignite.pretraining.config import PretrainConfig
    from dusa_ignite.pretraining.digits import pretrain

    return _demo(path, options, schema=PretrainConfig, pretrain=pretrain)


def _demo(path: Path, options: argparse.Namespace, *, schema: type[Any], pretrain: Callable[..., Any]) -> int:
    """Both models of a demo, in one process and without resuming: it takes minutes."""
    from dusa_ignite.config import read_config, to_yaml
    from dusa_ignite.runs.folder import log_to

    if options.resume or options.nproc > 1:
        raise ConfigError("--resume, --nproc: not for the demo's models, whose training takes minutes")
    config = read_config(path, options.overrides, schema=schema)
    if options.print_config:
        print(to_yaml(config), end="")
        return 0
    log_to(None)
    pretrain(config, overwrite=options.overwrite)
    return 0
