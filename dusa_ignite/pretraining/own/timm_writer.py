"""A trained classifier as a folder that timm loads by ``timm.create_model("local-dir:<folder>", pretrained=True)``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.metadata import save_described
from dusa_ignite.models.timm_folder import timm_config
from dusa_ignite.utils.durable import write_text

WEIGHTS, CONFIG = "model.safetensors", "config.json"  # timm's names


def write_timm_folder(
    classifier: Classifier, folder: Path, *, classes: Sequence[str], options: Mapping[str, Any]
) -> None:
    """Write weights, view and class names; both timm and this package read them.

    Args:
        classifier: around a model of timm's.
        folder: made if missing.
        classes: names, in the order of the outputs.
        options: keyword arguments of ``timm.create_model`` that the model was built with.
    """
    backbone, view = classifier.backbone, classifier.source_view
    of_size = {"img_size": view.image_size} if hasattr(backbone, "set_input_size") else {}
    config = timm_config(backbone, view=view, class_names=classes, model_args={**options, **of_size}, resized=True)
    assert config is not None, "trained classifiers are timm's"
    folder.mkdir(parents=True, exist_ok=True)
    described = {"architecture": config["architecture"], "num_classes": len(classes), "class_names": list(classes)}
    weights = {
        name: value.detach().cpu().float() if value.is_floating_point() else value.cpu()
        for name, value in backbone.state_dict().items()
    }
    save_described(weights, folder / WEIGHTS, description={**described, "view": view.values()})
    write_text(folder / CONFIG, json.dumps(config, indent=2) + "\n")
