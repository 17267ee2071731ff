"""What stands beside weights, or in their file: the view they were trained on, and the names of their classes.

Read are, the first that has a value winning: our own entry in a safetensors file; in the folder of the weights
``config.json`` (timm's, Hugging Face's), ``preprocessor_config.json`` (Hugging Face's) and ``args.yaml`` (timm's
``train.py``); the texts in a safetensors file; and the arguments in a training checkpoint.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from huggingface_hub import hf_hub_download

from dusa_ignite.data.imagenet_names import imagenet_wnids
from dusa_ignite.errors import CheckpointError
from dusa_ignite.models.metadata_formats import Said, of_config, of_own, of_preprocessor, of_texts, of_training
from dusa_ignite.models.timm_folder import is_timm_folder
from dusa_ignite.models.weights import locate, save_weights
from dusa_ignite.models.weights.read import safetensors_metadata
from dusa_ignite.utils.own_parts import is_reference
from dusa_ignite.utils.quiet import quiet

OWN_KEY = "dusa_ignite"  # of our entry in the metadata of a safetensors file


@dataclass(frozen=True)
class Metadata:
    """What is known of weights.

    Attributes:
        said: by source, what it says; earlier sources go before later ones.
    """

    said: Mapping[str, Said]

    @property
    def views(self) -> dict[str, Mapping[str, Any]]:
        """By source, what it says of the view."""
        return {source: said.view for source, said in self.said.items()}

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the outputs; empty = unknown."""
        return self.first("class_names")[0] or ()

    @property
    def names_source(self) -> str:
        """Where these stand."""
        return self.first("class_names")[1]

    def first(self, attribute: str) -> tuple[Any, str]:
        """The first value of an attribute of :class:`Said`, and its source; ``None`` and nothing where nobody says."""
        found = ((getattr(said, attribute), source) for source, said in self.said.items())
        return next(((value, source) for value, source in found if value), (None, ""))


def read_metadata(checkpoint: str | Path, *, key: str, embedded: str | None = None, content: Any = None) -> Metadata:
    """What stands in and beside a weights file.

    Args:
        checkpoint: see :func:`dusa_ignite.models.weights.locate`; a folder of weights will do, too.
        key: the config key, for error messages.
        embedded: see there.
        content: of a checkpoint, as read, for the arguments of a training script in it.

    Raises:
        CheckpointError: the weights are missing, or a file beside them cannot be read.
    """
    file = locate(checkpoint, key=key, embedded=embedded).files[0]
    texts = {name: _value(text) for name, text in safetensors_metadata(file).items()}
    own = texts.pop(OWN_KEY, {})
    said = {f"{file.name}'s metadata": of_own(own) if isinstance(own, Mapping) else Said({})}
    for name, read in (("config.json", of_config), ("preprocessor_config.json", of_preprocessor)):
        path = _beside(checkpoint, file.parent, name)
        try:
            said[name] = read(_parsed(path, key))
        except ValueError as error:
            raise CheckpointError(f"{key}: {path}: its class names: {error}; mend or remove them") from error
    said["args.yaml"] = of_training(_parsed(file.parent / "args.yaml", key))
    said["the file's metadata"] = of_texts(texts)
    said["the checkpoint's args"] = of_texts(_arguments(content))
    return Metadata({source: what for source, what in said.items() if any(what)})


def metadata_of(checkpoint: str | None, *, name: str, pretrained: bool, num_classes: int) -> Metadata:
    """What is known of a classifier's weights, a checkpoint's, a folder's or timm's; arguments as in the config.

    timm's own weights with 1,000 classes are ImageNet-1k's, in the order of the WordNet ids.
    """
    if checkpoint is not None:
        return read_metadata(checkpoint, key="classifier.checkpoint", embedded="classifier")
    if pretrained and is_timm_folder(name):
        known = read_metadata(name, key="classifier.name")
        if known.class_names or not name.partition(":")[2].startswith("timm/"):
            return known
    if pretrained and num_classes == len(imagenet_wnids()) and not is_reference(name):
        return Metadata({f"ImageNet-1k, the classes of timm's {name}": Said({}, imagenet_wnids())})
    return Metadata({})


def names_in(checkpoint: str | Path, *, key: str, embedded: str | None = None) -> tuple[str, ...]:
    """The class names that a guide's file carries, as :func:`save_described` wrote them; empty where there are none.

    Args:
        checkpoint: see :func:`dusa_ignite.models.weights.locate`.
        key: the config key, for error messages.
        embedded: see there.

    Raises:
        CheckpointError: the weights are missing.
    """
    own = _value(safetensors_metadata(locate(checkpoint, key=key, embedded=embedded).files[0]).get(OWN_KEY, "{}"))
    return of_own(own).class_names if isinstance(own, Mapping) else ()


def save_described(weights: Mapping[str, torch.Tensor], path: Path, *, description: Mapping[str, Any]) -> None:
    """As :func:`dusa_ignite.models.weights.save_weights`, with a description that :func:`read_metadata` finds.

    Args:
        weights: names to tensors; no two may share memory.
        path: of the safetensors file; what stands there is replaced when the new one is complete.
        description: plain JSON: ``view``, ``class_names``, ``architecture``, ``num_classes``; any may be missing.
    """
    save_weights(weights, path, texts={"format": "pt", OWN_KEY: json.dumps(description)})


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


def _arguments(content: Any) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        return {}
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


def _value(text: str) -> Any:
    """A text that is JSON, as what it means; any other as it is."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
