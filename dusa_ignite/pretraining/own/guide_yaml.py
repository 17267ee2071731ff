"""The sections of a run's config that use a guide that has been trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from dusa_ignite.pretraining.own import files
from dusa_ignite.pretraining.own.config import OwnConfig
from dusa_ignite.utils.paths import expanded


def guide_sections(config: OwnConfig, folder: Path, *, classes: Sequence[str], measured: dict[str, Any]) -> str:
    """``transformer``, ``vae``, ``path`` and ``time`` as YAML, with comments on where they come from.

    Args:
        config: of the training.
        folder: of its outputs.
        classes: their names.
        measured: what :meth:`dusa_ignite.pretraining.own.curve.Curve.as_dict` says of the guide.
    """
    options = config.transformer
    sizes = {"variant": options.variant} if options.variant else {"variant": None, **options.sizes}
    sections = {
        "transformer": {
            **sizes,
            "family": options.family,
            "checkpoint": str((folder / files.TRANSFORMER).absolute()),
            "num_classes": len(classes),
            "image_size": config.image_size,
        },
        "vae": {"pretrained": _from_anywhere(config.vae.pretrained), "scaling_factor": config.vae.scaling_factor},
        "path": {"name": options.path_name},
        "time": {"name": "fixed", "t": measured["best_t"]},
    }
    lines = [
        "The guide that this folder holds: paste these sections into a run's config, in place of those there.",
        f"As a classifier it is best at t = {measured['best_t']:g}: {100 * measured['best_accuracy']:.1f} % of "
        f"{measured['images']} held-out images, {measured['candidates']} candidates, chance "
        f"{100 * measured['chance']:.1f} %.",
        f"Its classes, in this order, are those of {files.CLASSES}; the run's data and classifier must have the same:",
        f"data.classes: {(folder / files.CLASSES).absolute()}, classifier.num_classes: {len(classes)}.",
    ]
    if not measured["tells_classes_apart"]:
        lines.insert(0, "WARNING: this guide tells its classes apart no better than chance. Train it for longer.")
    comment = "".join(f"# {line}\n" for line in lines)
    return comment + yaml.safe_dump(sections, sort_keys=False, allow_unicode=True)


def _from_anywhere(name: str | None) -> str | None:
    """A folder's absolute path; the hub's names as they are."""
    return str(expanded(name).absolute()) if name is not None and expanded(name).is_dir() else name
