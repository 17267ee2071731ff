"""What the files beside weights say of a view, in the spellings of timm, Hugging Face and this package."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dusa_ignite.data.class_names import ordered_names

RESAMPLE = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers, in preprocessor_config.json
NAMES = ("id2label", "label2id", "label_names", "class_names", "classes")  # what class names are called
OWN_RESIZE = 384  # Hugging Face's ConvNeXt: from this size on images are squashed, not cropped
VIEW = ("image_size", "crop_pct", "interpolation", "crop_mode", "mean", "std", "antialias")


class Said(NamedTuple):
    """What one source says; ``None`` or empty = nothing.

    Attributes:
        view: keys of :class:`dusa_ignite.models.view.ViewOptions`, and ``test_image_size``, ``test_crop_pct``.
        class_names: in the order of the outputs.
        architecture: timm's name.
        num_classes: outputs.
    """

    view: Mapping[str, Any]
    class_names: tuple[str, ...] = ()
    architecture: str | None = None
    num_classes: int | None = None


def of_own(content: Mapping[str, Any]) -> Said:
    """Our entry in a safetensors file, see :func:`dusa_ignite.models.metadata.save_described`."""
    view = content.get("view")
    return _said(content, view if isinstance(view, Mapping) else {})


def of_config(content: Mapping[str, Any]) -> Said:
    """``config.json`` of timm or Hugging Face.

    Raises:
        ValueError: its class names are no names.
    """
    return _said(content, _from_config(content))


def of_preprocessor(content: Mapping[str, Any]) -> Said:
    """``preprocessor_config.json`` of Hugging Face."""
    return Said({name: value for name, value in _from_preprocessor(content).items() if value is not None})


def of_training(content: Mapping[str, Any]) -> Said:
    """``args.yaml`` of timm's ``train.py``; other files of this name say nothing."""
    return _said(content, _from_timm(content)) if "model" in content else Said({})


def of_texts(content: Mapping[str, Any]) -> Said:
    """Values under the names that others use, wherever they come from; those of another kind say nothing."""
    view = {name: content.get(name) for name in VIEW} | {k: v for k, v in _from_timm(content).items() if v is not None}
    view["image_size"] = view.get("image_size") or content.get("image_size")
    view = {name: value for name, value in view.items() if _fits(name, value)}
    try:
        return _said(content, view)
    except ValueError:  # what is called classes there are not their names
        return _said({name: value for name, value in content.items() if name not in NAMES}, view)


def _said(content: Mapping[str, Any], view: Mapping[str, Any]) -> Said:
    names = _class_names(content)
    architecture = next(
        (content[k] for k in ("architecture", "arch", "model") if isinstance(content.get(k), str)), None
    )
    cfg = content.get("pretrained_cfg")
    classes = content.get("num_classes", cfg.get("num_classes") if isinstance(cfg, Mapping) else None)
    if not isinstance(classes, int) or isinstance(classes, bool) or classes < 1:
        classes = len(names) or None
    return Said({name: value for name, value in view.items() if value is not None}, names, architecture, classes)


def _class_names(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Of ``id2label`` or ``label2id``, ``label_names`` or ``class_names``; the placeholders LABEL_0, ... are none."""
    cfg = content.get("pretrained_cfg")
    timms = cfg.get("label_names") if isinstance(cfg, Mapping) else None
    written = [content.get(key) for key in NAMES]
    for labels in (*written, timms):
        if isinstance(labels, Mapping | list | tuple) and labels:
            names = tuple(ordered_names(list(labels) if isinstance(labels, tuple) else labels))
            if not all(re.fullmatch(r"LABEL_\d+", name) for name in names):
                return names
    return ()


def _fits(key: str, value: Any) -> bool:
    """Whether a value is of the kind that the view needs."""
    if key in ("mean", "std"):
        return isinstance(value, list | tuple) and len(value) == 3 and all(isinstance(v, int | float) for v in value)
    if key == "antialias":
        return isinstance(value, bool)
    if key in ("interpolation", "crop_mode"):
        return isinstance(value, str) and 0 < len(value) < 40
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _from_config(content: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(content.get("pretrained_cfg"), dict):  # timm's, or Hugging Face's of a timm model
        return _from_timm(content["pretrained_cfg"])
    if "id2label" in content or "num_labels" in content or "architectures" in content:
        size = content.get("image_size")
        return {"image_size": size if isinstance(size, int) else None}
    return _from_timm(content) if "architecture" in content else {}  # timm's before it had a pretrained_cfg


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
