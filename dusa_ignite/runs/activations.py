"""What the passes of an update take at its worst moment, measured on models without content."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from dusa_ignite.models.live_memory import Usage
from dusa_ignite.models.model_memory import classifier_usage, encoding_usage, trained, transformer_usage
from dusa_ignite.runs.shapes import Shapes


def most_at_once(shapes: Shapes, share: int, *, own: int, guides: int, unknown: list[str]) -> int:
    """The most bytes that gradients and passes of the models take together, at any moment of an update.

    Args:
        shapes: of the run.
        share: images of the batch that this process holds.
        own, guides: bytes of the classifier's and of the transformer's gradients.
        unknown: what cannot be measured is added to it.
    """
    count = shapes.footprint.update_images or share
    piece = _images_in_a_graph(shapes, count)
    own_pass, scaled = Usage(), Usage()
    if shapes.classifier is not None:
        own_pass = _measured(lambda: _classifier_usage(shapes, piece), "classifier", unknown)
        scaled = _measured(lambda: _scaled_usage(shapes), "classifier's scaled images", unknown)
    if not shapes.learns:
        return own_pass.peak
    before = own + guides if count > piece else 0  # the gradients of earlier pieces
    graphs_beside = (shapes.footprint.graphs - 1) * own_pass.graph if count == piece else 0
    learning = (before or guides) + graphs_beside + own_pass.peak
    asking = 0
    if shapes.guide is not None:
        asking = _measured(lambda: _guide_usage(shapes, min(count, shapes.micro_batch_size)), "guide", unknown).peak
        of_piece = shapes.pairs(shapes.footprint.guide_passes) if shapes.footprint.windows else piece
        asking += own_pass.graph + (before or (guides if of_piece > shapes.micro_batch_size else 0))
    return max(learning, asking, own + guides, scaled.peak)


def _images_in_a_graph(shapes: Shapes, count: int) -> int:
    """How many of the update's images the classifier sees at once."""
    if shapes.footprint.windows:
        return 1
    if shapes.classifier is not None and _sees_whole_batch(shapes.classifier, shapes.footprint.whole_batch):
        return count
    return min(count, shapes.micro_batch_size)


def _sees_whole_batch(classifier: torch.nn.Module, for_any_statistics: bool) -> bool:
    has_batch_norm = any(isinstance(module, _BatchNorm) for module in classifier.modules())
    return bool(classifier.uses_batch_statistics) or (for_any_statistics and has_batch_norm)


def _measured(measure: Callable[[], Usage], model: str, unknown: list[str]) -> Usage:
    try:
        return measure()
    except Exception:  # a model may do anything that needs content
        unknown.append(f"the activations of the {model}")
        return Usage()


def _classifier_usage(shapes: Shapes, images: int) -> Usage:
    assert shapes.classifier is not None
    return classifier_usage(shapes.classifier, images, graph=shapes.learns, sides=shapes.sides)


def _scaled_usage(shapes: Shapes) -> Usage:
    """What a teacher takes that sees an image enlarged."""
    scale = shapes.footprint.largest_scale
    if scale <= 1:
        return Usage()
    assert shapes.classifier is not None
    height, width = (round(scale * side) for side in shapes.sides)
    return classifier_usage(shapes.classifier, 1, graph=False, sides=(height, width))


def _guide_usage(shapes: Shapes, images: int) -> Usage:
    """What the guide takes for a micro-batch: while it encodes, and while it predicts and learns.

    Args:
        shapes: of the run.
        images: of a micro-batch, where it is one of images.
    """
    guide, through = shapes.guide, shapes.footprint.through_guide
    assert guide is not None
    graph = through or bool(trained(guide.transformer))
    encoded, learning, alone = _window_passes(shapes) if shapes.footprint.windows else _image_passes(shapes, images)
    used = [encoding_usage(guide, encoded)]
    for passes, with_graph in ((learning, graph), (alone, False)):
        if passes:
            used.append(transformer_usage(guide, passes, graph=with_graph, embedded=through))
    return max(used, key=lambda one: one.peak)


def _image_passes(shapes: Shapes, images: int) -> tuple[int, int, int]:
    """What of a micro-batch of images is encoded at once, predicted with a graph, and predicted without one."""
    footprint = shapes.footprint
    learning = footprint.guide_passes * math.ceil(footprint.guide_share * images)
    return images, learning, footprint.guide_passes_alone * images


def _window_passes(shapes: Shapes) -> tuple[int, int, int]:
    """The same for windows, which are encoded one by one; a micro-batch is one of their pairs with classes."""
    footprint, most = shapes.footprint, shapes.micro_batch_size
    return 1, min(shapes.pairs(footprint.guide_passes), most), min(shapes.pairs(footprint.guide_passes_alone), most)
