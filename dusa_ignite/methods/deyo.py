"""DeYO: destroy your object (Lee et al., ICLR 2024, arXiv 2403.07366).

An image learns if its prediction p is sure enough, E < tau_E = 0.5 ln C with E the entropy, and rests on the object's
shape: with p' the prediction for the image whose object is destroyed, and y the most likely class, the pseudo-label
probability difference PLPD = p_y - p'_y is above tau_PLPD. The loss is the mean over these images of

    (1 / exp(E - E0) + 1 / exp(-PLPD)) E

with E0 = 0.4 ln C and the weights held constant. Norm layers learn, but for those of the last layers, see
:func:`dusa_ignite.models.early_norms.early_norm_parameters`. Published: SGD, momentum 0.9, learning rate 2.5e-4 for
ResNet50, 1e-3 for ViT-B/16, batches of 64; tau_PLPD = 0.3 for ImageNet-C one corruption at a time, 0.2 for mixed
corruptions, correlated labels and batches of one image (the default here), 0.5 for Waterbirds and ColoredMNIST.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from ignite.engine import Engine
from torchvision.transforms.v2 import functional as TF

from dusa_ignite.distributed.collectives import global_sum
from dusa_ignite.methods.entropy import backpropagate_entropy
from dusa_ignite.methods.step import Update, finite_step, predict, trainable_parameters
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.views import Images, to_float
from dusa_ignite.utils.seeding import sample_generators

OCCLUDED = 0.5  # of the side, in the middle: 112 of 224 pixels


def deyo(
    *,
    classifier: Classifier,
    optimizer: torch.optim.Optimizer,
    seed: int,
    micro_batch_size: int,
    entropy_threshold: float = 0.5,
    entropy_margin: float = 0.4,
    plpd_threshold: float = 0.2,
    destruction: str = "patch",
    patches_per_side: int = 4,
) -> Update:
    """The process function of one DeYO update per batch.

    Objects are destroyed in the square that the classifier crops, in [0, 1]. A classifier whose BatchNorm uses the
    batch's statistics is shown all destroyed images, not only those with a small entropy, so that there is a batch.

    Args:
        classifier: in eval mode.
        optimizer: over the parameters that learn, in the paper those of early norm layers.
        seed: of the shuffling, keyed by image.
        micro_batch_size: images in the graph at once; no effect on results.
        entropy_threshold: tau_E / ln C, > 0.
        entropy_margin: E0 / ln C, > 0.
        plpd_threshold: tau_PLPD, in [-1, 1].
        destruction: ``patch``, ``pixel`` or ``occlusion``, see :func:`destroy`.
        patches_per_side: for ``patch``, >= 1.

    Returns:
        ``update(engine, batch) -> output``; both are described in :mod:`dusa_ignite.engine`. ``diagnostics`` has
        ``confident``, the share of images with a small entropy, and ``reliable``, of those learnt from.
    """
    parameters = trainable_parameters(optimizer)
    device, dtype = parameters[0].device, parameters[0].dtype
    log_classes = math.log(classifier.num_classes)

    def predict_destroyed(images: Images, batch: dict[str, Any], chosen: list[int]) -> torch.Tensor:
        generators = sample_generators(seed, batch["task"], batch["index"][chosen])
        view = classifier.crop(images)[chosen]
        destroyed = destroy(view, generators, destruction=destruction, patches_per_side=patches_per_side)
        return predict(classifier, destroyed, micro_batch_size=micro_batch_size)

    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        images = to_float(batch["images"], device=device, dtype=dtype)
        unsure = torch.empty(0)

        def weigh(logits: torch.Tensor, entropies: torch.Tensor) -> torch.Tensor:
            nonlocal unsure
            unsure = entropies >= entropy_threshold * log_classes  # NaN is not: it has to skip the update
            looked_at = torch.ones_like(unsure) if classifier.uses_batch_statistics else ~unsure
            others = predict_destroyed(images, batch, looked_at.nonzero().squeeze(1).tolist())
            plpd = probability_difference(logits[looked_at], others)
            weights = torch.zeros_like(entropies)
            weights[looked_at] = (entropy_margin * log_classes - entropies[looked_at]).exp() + plpd.exp()
            weights[looked_at] *= ~(plpd <= plpd_threshold)
            return weights.masked_fill(unsure, 0.0)

        logits, _, loss, number = backpropagate_entropy(
            classifier, images, weigh, parameters=parameters, micro_batch_size=micro_batch_size
        )
        skipped = number > 0 and not finite_step(optimizer, parameters, loss)
        total = max(global_sum(len(logits)), 1)
        return {
            "y_pred": logits,
            "y": batch["labels"].to(device),
            "loss": loss,
            "diagnostics": {
                "confident": global_sum((~unsure).sum().item()) / total,
                "reliable": number / total,
                "skipped_update": float(skipped),
            },
        }

    return update


def probability_difference(logits: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """(B,) p_y - p'_y, of the class y that is most likely in p, from the logits (B, C) of both."""
    label = logits.argmax(dim=1, keepdim=True)
    return (logits.softmax(dim=1) - others.softmax(dim=1)).gather(1, label).squeeze(1)


def destroy(
    images: torch.Tensor, generators: list[torch.Generator], *, destruction: str, patches_per_side: int = 4
) -> torch.Tensor:
    """Images whose objects cannot be recognised any more.

    Args:
        images: (B, 3, S, S).
        generators: one CPU generator per image.
        destruction: ``patch``: square patches change places (an image that they do not divide is resized to the next
            smaller size that they do, and back); ``pixel``: all pixels change places; ``occlusion``: the middle of an
            image becomes its mean colour, without a draw.
        patches_per_side: for ``patch``.

    Returns:
        (B, 3, S, S).

    Raises:
        ValueError: another word.
    """
    if destruction not in ("patch", "pixel", "occlusion"):
        raise ValueError(f"destruction must be patch, pixel or occlusion, not {destruction!r}")
    if len(images) == 0:
        return images
    if destruction == "occlusion":
        return occlude(images)
    side = images.shape[-1]
    if destruction == "pixel":
        return shuffle_patches(images, generators, patch=1)
    patch = max(side // patches_per_side, 1)
    fitting = patch * patches_per_side
    if side % patches_per_side == 0:
        return shuffle_patches(images, generators, patch=patch)
    shuffled = shuffle_patches(TF.resize(images, [fitting, fitting]), generators, patch=patch)
    return TF.resize(shuffled, [side, side])


def shuffle_patches(images: torch.Tensor, generators: list[torch.Generator], *, patch: int) -> torch.Tensor:
    """Every image (B, 3, S, S) cut into squares of ``patch`` pixels, which divides S, in an order of its own."""
    rows = images.shape[-1] // patch
    cells = images.unflatten(3, (rows, patch)).unflatten(2, (rows, patch))  # (B, 3, row, y, column, x)
    cells = cells.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # (B, cell, 3, y, x)
    shuffled = [own[torch.randperm(rows * rows, generator=g)] for own, g in zip(cells, generators, strict=True)]
    return torch.stack(shuffled).unflatten(1, (rows, rows)).permute(0, 3, 1, 4, 2, 5).reshape(images.shape)


def occlude(images: torch.Tensor) -> torch.Tensor:
    """The middle of every image (B, 3, S, S) in the image's mean colour."""
    side = images.shape[-1]
    size = int(side * OCCLUDED)
    start = (side - size) // 2
    occluded = images.clone()
    occluded[:, :, start : start + size, start : start + size] = images.mean(dim=(2, 3), keepdim=True)
    return occluded
