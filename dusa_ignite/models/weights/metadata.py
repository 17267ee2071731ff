"""What is written about a classifier's weights, in them or beside them: architecture, view, class names."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dusa_ignite.models.weights.places import Found
from dusa_ignite.models.weights.read import safetensors_metadata

OWN_KEY = "dusa_ignite"  # of our entry in the metadata of a safetensors file
VIEW = ("image_size", "crop_pct", "interpolation", "crop_mode", "mean", "std", "antialias")
LARGEST = 2**24  # bytes of a text file that is looked at


@dataclass
class Metadata:
    """What is known, and where from.

    Attributes:
        architecture: timm's name, or ``None``.
        num_classes: outputs, or ``None``.
        view: values of ``classifier.view`` that are known.
        class_names: in the order of the outputs, or empty.
        sources: ``architecture``, ``num_classes``, ``class_names`` and the keys of ``view``, each with its source.
    """

    architecture: str | None = None
    num_classes: int | None = None
    view: dict[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)


def metadata_of(found: Found, content: Any = None) -> Metadata:
    """Collect what is written, the first source that says something counts.

    Our own entry in the metadata of a safetensors file, ``config.json`` (timm's and Hugging Face's), timm train's
    ``args.yaml`` beside the file, the texts in a safetensors file, and the arguments in a training checkpoint, in this
    order.

    Args:
        found: the files.
        content: of a checkpoint, as read; for the arguments in it.
    """
    first = found.files[0]
    known = Metadata()
    config = found.config or first.parent / "config.json"
    texts = {key: _value(text) for key, text in safetensors_metadata(first).items()}
    own = texts.pop(OWN_KEY, None)
    if isinstance(own, Mapping):
        view = own.get("view")
        _add(known, {**own, **(view if isinstance(view, Mapping) else {})}, f"{first.name}'s metadata")
    for name, given in (
        (config.name, _json(config)),
        ("args.yaml", _yaml(first.parent / "args.yaml")),
        ("the file's metadata", texts),
        ("the checkpoint's args", _arguments(content)),
    ):
        if isinstance(given, Mapping):
            _add(known, given, name)
    return known


def _add(known: Metadata, given: Mapping[str, Any], source: str) -> None:
    cfg = given.get("pretrained_cfg")
    flat = {**(cfg if isinstance(cfg, Mapping) else {}), **given}
    values: dict[str, Any] = {key: flat.get(key) for key in VIEW}
    size = next((flat[key] for key in ("image_size", "img_size", "input_size") if flat.get(key)), None)
    values["image_size"] = size[-1] if isinstance(size, list | tuple) and size else size
    for key, value in values.items():
        if _fits(key, value) and key not in known.view:
            known.view[key] = list(value) if isinstance(value, tuple) else value
            known.sources[key] = source
    architecture = next(
        (flat[key] for key in ("architecture", "arch", "model") if isinstance(flat.get(key), str)), None
    )
    names = _class_names(flat)
    classes = flat.get("num_classes")
    if not isinstance(classes, int) or isinstance(classes, bool) or classes < 1:
        classes = len(names) or None
    for attribute, value in (("architecture", architecture), ("num_classes", classes), ("class_names", names)):
        if value and not getattr(known, attribute):
            setattr(known, attribute, value)
            known.sources[attribute] = source


def _fits(key: str, value: Any) -> bool:
    """Whether a value is of the kind that the view needs."""
    if key in ("mean", "std"):
        return isinstance(value, list | tuple) and len(value) == 3 and all(isinstance(v, int | float) for v in value)
    if key == "antialias":
        return isinstance(value, bool)
    if key in ("interpolation", "crop_mode"):
        return isinstance(value, str) and 0 < len(value) < 40
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _class_names(flat: Mapping[str, Any]) -> tuple[str, ...]:
    """Of Hugging Face's ``id2label`` or ``label2id``, of timm's ``label_names``, or of a list ``class_names``."""
    numbered = flat.get("id2label")
    if not isinstance(numbered, Mapping) and isinstance(labels := flat.get("label2id"), Mapping):
        numbered = {number: name for name, number in labels.items() if isinstance(number, int | str)}
    if isinstance(numbered, Mapping):
        try:
            found = {int(number): str(name) for number, name in numbered.items()}
        except (ValueError, TypeError):
            return ()
        return tuple(found[number] for number in sorted(found)) if set(found) == set(range(len(found))) else ()
    names = next((flat[key] for key in ("label_names", "class_names", "classes") if flat.get(key)), None)
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()


def _arguments(content: Any) -> Mapping[str, Any] | None:
    if not isinstance(content, dict):
        return None
    places = [content, *(content.get(key) for key in ("args", "hyper_parameters", "config", "cfg"))]
    texts = [vars(place) if isinstance(place, argparse.Namespace) else place for place in places]
    flat: dict[str, Any] = {}
    for place in texts:
        if isinstance(place, Mapping):
            flat |= {key: value for key, value in place.items() if isinstance(key, str) and _is_plain(value)}
    return flat


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return len(value) <= 10**5 and all(isinstance(item, str | int | float) for item in value)
    return isinstance(value, str | int | float) or (isinstance(value, dict) and len(value) <= 10**5)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8") if path.is_file() and path.stat().st_size < LARGEST else None
    except (OSError, ValueError):
        return None


def _json(path: Path) -> Any:
    return _value(_text(path) or "")


def _value(text: str) -> Any:
    """A text that is JSON, as what it means; any other as it is."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _yaml(path: Path) -> Any:
    text = _text(path)
    if text is None or "&" in text.split("#")[0] or len(text) > 10**5:  # anchors could grow without end
        return None
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
