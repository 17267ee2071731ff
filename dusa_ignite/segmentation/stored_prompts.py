"""Classes' embeddings that are kept in a file, for guides that have no text encoder: ``prompts.safetensors``.

It holds one tensor, ``embeddings`` (classes, tokens, width), and in its metadata the key ``classes``: the classes'
names in their order, as a JSON list.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open

from dusa_ignite.errors import CheckpointError
from dusa_ignite.models.weights.strict import save_weights

PROMPTS, EMBEDDINGS, NAMES = "prompts.safetensors", "embeddings", "classes"


def read_prompts(file: Path, class_names: Sequence[str], *, source: str) -> torch.Tensor:
    """(classes, tokens, width) float32: the embeddings of the data's classes.

    Args:
        file: as :func:`write_prompts` makes it.
        class_names: of the data, in the order of the labels; the file must have the same.
        source: the option and what the user gave, for error messages.

    Raises:
        CheckpointError: the file cannot be read, lacks something, or is for other classes.
    """
    where = f"{source}: {PROMPTS}"
    try:
        with safe_open(file, framework="pt") as content:
            names = json.loads((content.metadata() or {})[NAMES])
            embeddings = content.get_tensor(EMBEDDINGS)
    except Exception as error:  # safetensors' errors share no base class with JSON's
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
        raise CheckpointError(
            f"{where}: must hold a tensor {EMBEDDINGS} and, in its metadata, {NAMES}: a JSON list of names ({reason})"
        ) from error
    if not isinstance(names, list) or embeddings.ndim != 3 or len(embeddings) != len(names):
        raise CheckpointError(
            f"{where}: {EMBEDDINGS} must be of shape (classes, tokens, width) with a name in {NAMES} for each; "
            f"here it is {tuple(embeddings.shape)}"
        )
    if names != list(class_names):
        different = _difference(names, list(class_names))
        raise CheckpointError(f"{where}: {different}; take a guide that is for these classes")
    return embeddings.float()


def write_prompts(file: Path, embeddings: torch.Tensor, class_names: Sequence[str]) -> None:
    """Write what :func:`read_prompts` reads.

    Args:
        file: replaced if there.
        embeddings: (classes, tokens, width).
        class_names: one per class, in their order.
    """
    save_weights({EMBEDDINGS: embeddings.detach()}, file, texts={NAMES: json.dumps(list(class_names))})


def _difference(own: list[str], wanted: list[str]) -> str:
    if len(own) != len(wanted):
        return f"is for {len(own)} classes, the data have {len(wanted)}"
    place = next(label for label, pair in enumerate(zip(own, wanted, strict=True)) if pair[0] != pair[1])
    return f"class {place} is {own[place]!r} there and {wanted[place]!r} in the data"
