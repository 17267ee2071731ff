"""What passes of a classifier and of a guide take, for models that were built on torch's meta device."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.guides import Guide
from dusa_ignite.models.live_memory import Usage, usage


def bytes_of(tensors: Iterable[torch.Tensor]) -> int:
    """The memory of tensors, each of its own."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def weights(model: nn.Module) -> list[torch.Tensor]:
    """Parameters and buffers."""
    return [*model.parameters(), *model.buffers()]


def trained(model: nn.Module) -> list[torch.Tensor]:
    """The parameters that learn."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def classifier_usage(
    classifier: Classifier, images: int, *, graph: bool, sides: tuple[int, int] | None = None
) -> Usage:
    """A pass of so many images, and the way back where there is a ``graph``.

    Args:
        classifier: one that takes images one by one is measured with a single one.
        images: >= 1.
        graph: see :func:`dusa_ignite.models.live_memory.usage`.
        sides: (H, W) of the images; ``None`` = squares of the classifier's own size.
    """
    height, width = sides or (classifier.image_size, classifier.image_size)
    together, some = classifier.normalises_together, next(classifier.parameters())
    batch, half = some.new_empty(images if together else 1, 3, height, width), classifier.autocast_dtype
    present = [*weights(classifier), batch]
    measured = usage(lambda: classifier.forward_resized(batch), present=present, graph=graph, half=half)
    if together:
        return measured
    return Usage(images * measured.graph, (images - 1) * measured.graph + measured.peak)


def transformer_usage(guide: Guide, passes: int, *, graph: bool, embedded: bool) -> Usage:
    """So many predictions at once.

    Args:
        guide: its ``autocast_dtype`` counts.
        passes: images times classes, or times samples of noise.
        graph: whether there is a way back.
        embedded: the predictions are for vectors in the place of classes, which the gradient reaches.
    """
    transformer, some = guide.transformer, next(guide.transformer.parameters())
    noised, times = some.new_empty(passes, *guide.latent_shape), some.new_empty(passes)
    classes = some.new_empty(passes, dtype=torch.int64)

    def predict() -> torch.Tensor:
        if not embedded:
            return transformer(noised, times, classes)
        vectors = some.new_empty(passes, guide.class_embeddings().shape[1]).requires_grad_(graph)
        return transformer.forward_embedded(noised, times, vectors)  # type: ignore[operator]

    present = [*weights(transformer), noised, times, classes]
    return usage(predict, present=present, graph=graph, half=guide.autocast_dtype, casts_kept=not guide.is_sharded)


def encoding_usage(guide: Guide, images: int) -> Usage:
    """Encoding so many images, which never has a graph; nothing without a VAE."""
    if guide.vae is None:
        return Usage()
    vae = guide.vae
    view = next(vae.parameters()).new_empty(images, 3, guide.image_size, guide.image_size)
    return usage(
        lambda: vae.encode(view).latent_dist.mean,
        present=[*weights(vae), view],
        graph=False,
        half=guide.autocast_dtype,
    )
