"""Folders and hub repositories as timm writes them: ``config.json`` beside the weights.

And what ``timm.create_model`` takes that would load weights behind the back of :mod:`dusa_ignite.models.weights`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm

from dusa_ignite.errors import CheckpointError, ConfigError
from dusa_ignite.models.view import View
from dusa_ignite.models.weights.places import FOLDER_NAMES, locate

LOADING = {  # options of timm.create_model that load weights or say how
    "checkpoint_path": "classifier.checkpoint",
    "pretrained": "classifier.pretrained",
    "pretrained_strict": "nothing: loading is always strict",
    "pretrained_filter_fn": "classifier.checkpoint",
    "pretrained_custom_load": "classifier.checkpoint",
    "pretrained_model_args": "classifier.checkpoint",
    "num_classes": "classifier.num_classes",
}
NOT_KEPT = ("test_input_size", "test_crop_pct", "test_pool_size", "pool_size", "tag")  # of other sizes and weights
SOURCES = ("file", "url", "hf_hub_id", "hf_hub_filename", "state_dict", "source", "custom_load")  # of a pretrained_cfg


@dataclass(frozen=True)
class TimmFolder:
    """What a ``config.json`` of timm says.

    Attributes:
        architecture: timm's name.
        pretrained_cfg: how its images are prepared, and more; without where timm would fetch weights.
        model_args: further arguments of ``timm.create_model``.
        num_classes: outputs, or ``None`` where it does not say.
        class_names: as ``label_names`` lists them, or empty.
    """

    architecture: str
    pretrained_cfg: dict[str, Any]
    model_args: dict[str, Any]
    num_classes: int | None
    class_names: tuple[str, ...]


def is_timm_folder(name: str) -> bool:
    """Whether a model's name stands for a folder or a repository."""
    return name.startswith(FOLDER_NAMES)


def check_options(options: Mapping[str, Any], *, key: str) -> None:
    """Refuse options by which timm would load a file itself.

    Args:
        options: keyword arguments of ``timm.create_model``.
        key: where they stand, for the message.

    Raises:
        ConfigError: there is one; the message names what to use instead.
    """
    for name, instead in LOADING.items():
        if name in options:
            raise ConfigError(f"{key}.{name}: timm would read weights its own way; use {instead}")
    for name in ("pretrained_cfg", "pretrained_cfg_overlay"):
        given = options.get(name)
        if isinstance(given, Mapping) and (found := [source for source in SOURCES if source in given]):
            raise ConfigError(
                f"{key}.{name}.{found[0]}: timm would read weights its own way; use classifier.checkpoint"
            )


def read_timm_folder(name: str, *, num_classes: int | None = None) -> TimmFolder:
    """Read what the ``config.json`` of ``local-dir:<folder>`` or ``hf-hub:<id>`` says of the model.

    Args:
        name: ``classifier.name``.
        num_classes: that the config asks for, to be compared.

    Raises:
        CheckpointError: there is none, it names no architecture that timm knows, or other classes than asked for.
    """
    found = locate(name, key="classifier.name")
    if found.config is None:
        raise CheckpointError(f"classifier.name: {name}: no config.json; give a timm name and classifier.checkpoint")
    folder = parse_config(found.config)
    if folder is None or not timm.is_model(folder.architecture):
        of = f" ({folder.architecture})" if folder else ""
        raise CheckpointError(
            f"classifier.name: {name}: its config.json names no architecture of timm's{of}; give a timm name, or your "
            f"factory, path/to/file.py:build"
        )
    check_options(folder.model_args, key=f"classifier.name: {name}: model_args")
    if num_classes is not None and folder.num_classes not in (None, num_classes):
        raise CheckpointError(
            f"classifier.name: {name}: its weights have {folder.num_classes} classes, classifier.num_classes is "
            f"{num_classes}"
        )
    return folder


def timm_config(
    backbone: Any, *, view: View, class_names: Sequence[str], model_args: Mapping[str, Any], resized: bool
) -> dict[str, Any] | None:
    """A ``config.json`` by which timm builds a model and prepares its images; ``None`` where timm does not know it.

    Pillow, by which timm resizes, always low-passes, and knows no ``nearest-exact``: a view without ``antialias``, or
    with that interpolation, is written down as what comes nearest.

    Args:
        backbone: with timm's ``pretrained_cfg``.
        view: of its images.
        class_names: in the order of the outputs; empty = nobody knows them.
        model_args: arguments of ``timm.create_model`` that it was built with, as plain JSON.
        resized: whether images were resized; where all have the view's size they stay as they are, while timm would
            enlarge them and cut off their border.
    """
    known = dict(getattr(backbone, "pretrained_cfg", None) or {})
    architecture = known.pop("architecture", None)
    if architecture is None or not timm.is_model(architecture):
        return None
    cfg = {key: value for key, value in known.items() if key not in (*SOURCES, *NOT_KEPT) and value is not None}
    num_classes = int(backbone.num_classes)
    cfg |= {
        "num_classes": num_classes,
        "input_size": [3, view.image_size, view.image_size],
        "crop_pct": view.crop_pct if resized else 1.0,
        "crop_mode": view.crop_mode,
        "interpolation": "nearest" if view.interpolation == "nearest-exact" else view.interpolation,
        "mean": list(view.mean),
        "std": list(view.std),
    }
    content = {"architecture": architecture, "num_classes": num_classes, "pretrained_cfg": cfg}
    content |= {"model_args": dict(model_args)} if model_args else {}
    return content | ({"label_names": list(class_names)} if class_names else {})


def parse_config(path: Path) -> TimmFolder | None:
    """What a ``config.json`` says of a timm model, ``None`` where it is no such file."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        cfg = dict(config.get("pretrained_cfg") or {name: v for name, v in config.items() if name != "architecture"})
        arguments = dict(config.get("model_args") or {})
        architecture = str(config["architecture"])
        classes = config.get("num_classes", cfg.get("num_classes"))
        names = config.get("label_names") or cfg.get("label_names") or ()
        known = timm.models.PretrainedCfg.__dataclass_fields__
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    kept = {name: value for name, value in cfg.items() if name in known and name not in SOURCES}
    return TimmFolder(
        architecture,
        kept,
        arguments,
        classes if isinstance(classes, int) and classes > 0 else None,
        tuple(map(str, names)) if isinstance(names, list) else (),
    )
