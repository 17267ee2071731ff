"""Models that are small enough for a test, and batches for them."""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import torch

from dusa_ignite.engine import Batch
from dusa_ignite.methods.mixed_statistics import batch_norm_layers
from dusa_ignite.models import Classifier, Guide, build_classifier, load_transformer
from dusa_ignite.models.guides.paths import linear

CLASSES = 7
SIDE = 32  # pixels
SEED = 11


def toy_classifier(name: str = "test_convnext", **options: Any) -> Classifier:
    """A tiny timm model with random weights, always the same, in float32.

    Args:
        name: timm's; of those that begin with ``test_``, ``test_convnext`` and ``test_vit`` have no BatchNorm.
        options: of :func:`dusa_ignite.models.build_classifier`.
    """
    torch.manual_seed(2)
    of_timm = {"img_size": SIDE} if name == "test_vit" else None
    return build_classifier(name, num_classes=CLASSES, image_size=SIDE, options=of_timm, **options)


def sharp_classifier(name: str = "test_convnext", **options: Any) -> Classifier:
    """A toy classifier in float64 whose last layer's weights are multiplied, so that it is sure of some images.

    One with BatchNorm sees images of twice the size, so that a single one has statistics.

    Args:
        name, options: see :func:`toy_classifier`; by default the norm layers can learn.
    """
    classifier = toy_classifier(name, **{"trainable": "norm", **options})
    with torch.no_grad():
        classifier.backbone.get_classifier().weight *= 30
    if batch_norm_layers(classifier):
        classifier.image_size = 2 * SIDE
    return classifier.double()


def toy_guide() -> Guide:
    """A tiny transformer in pixel space, always the same, with weights that let every parameter matter; in float32."""
    torch.manual_seed(1)
    transformer: Any = load_transformer(
        "random",
        family="repa",
        num_classes=CLASSES,
        latent_size=8,
        in_channels=3,
        patch_size=4,
        hidden_size=16,
        depth=1,
        num_heads=2,
    )
    with torch.no_grad():
        for parameter in transformer.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.2)
        transformer.y_embedder.embedding_table.weight.normal_()
    return Guide(transformer, path=linear, image_size=8).eval()


def make_batch(task: str, first: int, count: int) -> Batch:
    """Noise images that differ in brightness: this process's share of a batch.

    Args:
        task: its name; tasks whose names have the same length have the same images.
        first: position of the batch's first image in the task, 0 .. 15.
        count: images of the batch over all processes; ``first + count`` <= 16.
    """
    generator = torch.Generator().manual_seed(len(task))
    images = torch.randint(256, (16, 3, SIDE, SIDE), generator=generator)
    images = (images * torch.rand(16, 3, 1, 1, generator=generator)).to(torch.uint8)
    index = torch.arange(first, first + count).tensor_split(idist.get_world_size())[idist.get_rank()]
    return {
        "images": images[index],
        "labels": index % CLASSES,
        "index": index,
        "task": task,
        "first": first == 0,
        "last": False,
        "unreadable": [],
    }
