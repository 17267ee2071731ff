"""A small SegFormer, trained on canvases."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from dusa_ignite.data.segmentation.drawing import CLASSES
from dusa_ignite.pretraining.loop import Labelled, train
from dusa_ignite.pretraining.shapes_config import SegmenterTraining
from dusa_ignite.pretraining.shapes_data import Drawn, window_batches
from dusa_ignite.segmentation.counts import image_counts
from dusa_ignite.segmentation.extra import transformers_for
from dusa_ignite.segmentation.load_segmenter import HubSegmenter
from dusa_ignite.segmentation.scores import mean_iou, pixel_accuracy
from dusa_ignite.segmentation.segmenter import Segmenter

MEAN = STD = (0.5, 0.5, 0.5)


def make_segmenter(options: SegmenterTraining, *, side: int) -> Segmenter:
    """SegFormer with random weights; every level halves the resolution, so logits have half of the image's.

    Args:
        options: its sizes.
        side: of a canvas in pixels.

    Raises:
        UserError: transformers is not installed.
    """
    transformers = transformers_for("pretrain: the segmenter of the canvases")
    config = transformers.SegformerConfig(
        hidden_sizes=list(options.widths),
        depths=list(options.depths),
        strides=[2, 2, 2, 2],
        patch_sizes=[5, 3, 3, 3],
        sr_ratios=[8, 4, 2, 1],
        num_attention_heads=[1, 2, 4, 4],
        mlp_ratios=[4, 4, 4, 4],
        decoder_hidden_size=options.decoder_width,
        drop_path_rate=0.0,
        classifier_dropout_prob=0.0,
        initializer_range=0.1,  # the usual 0.02 is for widths of hundreds; narrow layers would begin almost silent
        id2label=dict(enumerate(CLASSES)),
        label2id={name: label for label, name in enumerate(CLASSES)},
    )
    processor = transformers.SegformerImageProcessor(
        image_mean=list(MEAN), image_std=list(STD), size={"height": side, "width": side}
    )
    return Segmenter(
        HubSegmenter(transformers.SegformerForSemanticSegmentation(config), processor),
        num_classes=len(CLASSES),
        short_side=side,
        mean=MEAN,
        std=STD,
        batch_norm="source",
        class_names=CLASSES,
    )


def train_segmenter(
    options: SegmenterTraining,
    *,
    training: Drawn,
    validation: Drawn,
    generator: torch.Generator,
    log_every_seconds: float,
) -> tuple[Segmenter, dict[str, Any]]:
    """The averaged segmenter, and its mIoU and pixel accuracy on validation canvases, both in [0, 1], and seconds."""
    side = training.images.shape[-1]
    model = make_segmenter(options, side=side)

    def loss(batch: Labelled) -> torch.Tensor:
        logits = model.forward_resized(batch[0])  # together: BatchNorm learns the statistics of a whole batch
        logits = F.interpolate(logits, size=(side, side), mode="bilinear")
        return F.cross_entropy(logits, batch[1])

    ema, metrics = train(
        model,
        loss=loss,
        batches=window_batches(training, size=side, batch_size=options.batch_size, generator=generator),
        validate=lambda ema: measure_segmenter(ema, validation),
        options=options,
        log_every_seconds=log_every_seconds,
    )
    assert isinstance(ema, Segmenter)
    return ema, {"parameters": sum(p.numel() for p in ema.parameters()), **metrics}


@torch.no_grad()
def measure_segmenter(segmenter: nn.Module, drawn: Drawn) -> dict[str, float]:
    """``miou`` and ``pixel_accuracy`` on canvases, in [0, 1]."""
    segmenter.eval()
    counts = np.zeros((3, len(CLASSES)), dtype=np.int64)
    for images, maps in zip(drawn.images.split(64), drawn.maps.split(64), strict=True):
        for logits, labels in zip(segmenter(images / 255), maps, strict=True):
            counts += image_counts(logits, labels).numpy()
    return {"miou": float(mean_iou(counts)), "pixel_accuracy": float(pixel_accuracy(counts))}
