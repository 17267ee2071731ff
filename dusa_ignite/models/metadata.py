"""What stands beside weights, or in their file: the view they were trained on, and the names of their classes.

Read are, the first that has a value winning: the metadata of a safetensors file that this package has exported,
``config.json`` (timm's, Hugging Face's), ``preprocessor_config.json`` (Hugging Face's) and ``args.yaml`` (timm's
``train.py``) in the folder of the weights.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from huggingface_hub import hf_hub_download
from safetensors import safe_open

from dusa_ignite.data.class_names import ordered_names
from dusa_ignite.data.imagenet_names import imagenet_wnids
from dusa_ignite.errors import CheckpointError
from dusa_ignite.models.weights import locate, save_weights
from dusa_ignite.models.weights.metadata import OWN_KEY
from dusa_ignite.utils.own_parts import is_reference
from dusa_ignite.utils.quiet import quiet

RESAMPLE = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers, in preprocessor_config.json
OWN_RESIZE = 384  # Hugging Face's ConvNeXt: from this size on images are squashed, not cropped


@dataclass(frozen=True)
class Metadata:
    """What is known of weights.

    Attributes:
        views: by source, what it says of the view: keys of :class:`dusa_ignite.models.view.ViewOptions`, and
            ``test_image_size``, ``test_crop_pct``. Earlier sources go before later ones.
        class_names: in the order of the outputs; empty = unknown.
        names_source: where they stand.
    """

    views: Mapping[str, Mapping[str, Any]]
    class_names: tuple[str, ...] = ()
    names_source: str = ""


def read_metadata(checkpoint: str | Path, *, key: str, embedded: str | None = None) -> Metadata:
    """What stands in and beside a weights file.

    Args:
        checkpoint: see :func:`dusa_ignite.models.weights.locate`; a folder of weights will do, too.
        key: the config key, for error messages.
        embedded: see there.

    Raises:
        CheckpointError: the weights are missing, or a file beside them cannot be read.
    """
    file = locate(checkpoint, key=key, embedded=embedded).files[0]
    folder = file.parent
    views: dict[str, Mapping[str, Any]] = {}
    names: dict[str, tuple[str, ...]] = {}
    own = _own_entry(file)
    if own:
        view, listed = own.get("view"), own.get("class_names")
        views[f"{file.name}'s metadata"] = view if isinstance(view, dict) else {}
        names[f"{file.name}'s metadata"] = tuple(map(str, listed)) if isinstance(listed, list) else ()
    for name, read in (("config.json", _from_config), ("preprocessor_config.json", _from_preprocessor)):
        content = _parsed(_beside(checkpoint, folder, name), key)
        if content:
            views[name] = read(content)
            names[name] = _names(content, f"{key}: {folder / name}")
    args = _parsed(folder / "args.yaml", key)
    if "model" in args:
        views["args.yaml"] = _from_timm(args)
    found = next((source for source, some in names.items() if some), "")
    present = {source: {k: v for k, v in view.items() if v is not None} for source, view in views.items()}
    return Metadata(present, names.get(found, ()), found)


def metadata_of(checkpoint: str | None, *, name: str, pretrained: bool, num_classes: int) -> Metadata:
    """What is known of a classifier's weights, be they a checkpoint's or timm's; arguments as in the config.

    timm's weights with 1,000 classes are ImageNet-1k's, in the order of the WordNet ids.
    """
    if checkpoint is not None:
        return read_metadata(checkpoint, key="classifier.checkpoint", embedded="classifier")
    if pretrained and num_classes == len(imagenet_wnids()) and not is_reference(name):
        return Metadata({}, imagenet_wnids(), f"ImageNet-1k, the classes of timm's {name}")
    return Metadata({})


def save_described(weights: Mapping[str, torch.Tensor], path: Path, *, description: Mapping[str, Any]) -> None:
    """As :func:`dusa_ignite.models.weights.save_weights`, with a description that :func:`read_metadata` finds.

    Args:
        weights: names to tensors; no two may share memory.
        path: of the safetensors file; what stands there is replaced when the new one is complete.
        description: plain JSON: ``view``, ``class_names``, ``architecture``, ``num_classes``; any may be missing.
    """
    save_weights(weights, path, texts={"format": "pt", OWN_KEY: json.dumps(description)})


def _own_entry(file: Path) -> dict[str, Any]:
    if file.suffix != ".safetensors":
        return {}
    try:
        with safe_open(file, framework="pt") as content:
            entry = json.loads((content.metadata() or {}).get(OWN_KEY, "{}"))
    except Exception:  # a damaged file is told of when its weights are read
        return {}
    return entry if isinstance(entry, dict) else {}


def _beside(checkpoint: str | Path, folder: Path, name: str) -> Path:
    """The path of a file beside the weights; one of a hub's repository is fetched, where it can be."""
    if str(checkpoint).startswith("hub:") and not (folder / name).is_file():
        try:
            with quiet():
                return Path(hf_hub_download(str(checkpoint).split(":")[1], name))
        except Exception:  # offline, or there is none: their errors share no base class
            return folder / name
    return folder / name


def _parsed(path: Path, key: str) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{key}: {path} beside the weights cannot be read ({reason}); mend or remove it"
        ) from error
    return content if isinstance(content, dict) else {}


def _names(content: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The class names of a config.json; Hugging Face's placeholders LABEL_0, LABEL_1, ... are none."""
    of_timm = content.get("pretrained_cfg") or {}
    for labels in (content.get("id2label"), content.get("label_names"), of_timm.get("label_names")):
        if not labels:
            continue
        try:
            names = tuple(ordered_names(labels))
        except ValueError as error:
            raise CheckpointError(f"{where}: its class names: {error}; mend or remove them") from error
        if not all(re.fullmatch(r"LABEL_\d+", name) for name in names):
            return names
    return ()


def _from_config(content: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(content.get("pretrained_cfg"), dict):  # timm's, or Hugging Face's of a timm model
        return _from_timm(content["pretrained_cfg"])
    if "id2label" in content or "num_labels" in content or "architectures" in content:
        size = content.get("image_size")
        return {"image_size": size if isinstance(size, int) else None}
    return {}


def _from_timm(content: Mapping[str, Any]) -> dict[str, Any]:
    """Of a pretrained_cfg, or of the arguments of timm's train.py, where what is not given is null."""
    view = {name: content.get(name) or None for name in ("crop_pct", "interpolation", "crop_mode", "test_crop_pct")}
    view |= {name: _per_channel(content.get(name)) for name in ("mean", "std")}
    for name in ("", "test_"):
        size = content.get(f"{name}input_size")
        view[f"{name}image_size"] = size[-1] if isinstance(size, Sequence) and len(size) == 3 else None
    return {**view, "image_size": view["image_size"] or content.get("img_size")}


def _from_preprocessor(content: Mapping[str, Any]) -> dict[str, Any]:
    """Of Hugging Face's image processors: resize to ``size``, then perhaps the central ``crop_size``."""
    normalised = content.get("do_normalize", True)
    view: dict[str, Any] = {
        "interpolation": RESAMPLE.get(content.get("resample", -1)),
        "mean": _per_channel(content.get("image_mean")) if normalised else [0.0] * 3,
        "std": _per_channel(content.get("image_std")) if normalised else [1.0] * 3,
    }
    shortest, height = _sides(content.get("size"))
    if not content.get("do_resize", True) or not (shortest or height):
        return view
    crop = max(_sides(content.get("crop_size"))) if content.get("do_center_crop", "crop_size" in content) else 0
    if crop:
        return {**view, "image_size": crop, "crop_pct": _share(crop, shortest or height), "crop_mode": "center"}
    if content.get("crop_pct") and shortest < OWN_RESIZE:
        return {**view, "image_size": shortest, "crop_pct": content["crop_pct"], "crop_mode": "center"}
    squashed = bool(height) or "crop_pct" in content
    return {**view, "image_size": shortest or height, "crop_pct": 1.0, "crop_mode": "squash" if squashed else "center"}


def _sides(size: Any) -> tuple[int, int]:
    """The shortest edge and the height of a size in Hugging Face's spellings; 0 = it does not say."""
    if isinstance(size, Mapping):
        return int(size.get("shortest_edge") or 0), int(size.get("height") or 0)
    return (0, size) if isinstance(size, int) else (0, 0)


def _share(crop: int, size: int) -> float:
    """The crop_pct with which int(crop / crop_pct) is exactly ``size``."""
    share = crop / size
    return share if int(crop / share) == size else math.nextafter(share, 0.0)


def _per_channel(values: Any) -> list[float] | None:
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        return None
    return [float(value) for value in (list(values) * 3 if len(values) == 1 else values)]
