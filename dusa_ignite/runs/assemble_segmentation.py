"""The models of a run that segments, from their sections of the config."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ignite.distributed as idist

from dusa_ignite.config import Config
from dusa_ignite.data import Task
from dusa_ignite.methods.find import find_method
from dusa_ignite.models.norms import set_trainable
from dusa_ignite.models.precision import autocast_dtype, half_precision, model_dtype
from dusa_ignite.runs.builders import META, Builders
from dusa_ignite.runs.class_check import FoundData, check_segmenter_classes
from dusa_ignite.segmentation.guide_shapes import window_guide_shapes
from dusa_ignite.segmentation.load_guide import load_window_guide
from dusa_ignite.segmentation.load_segmenter import PREFIX, build_segmenter, segmenter_class_names, segmenter_shapes
from dusa_ignite.segmentation.segmenter import Segmenter
from dusa_ignite.segmentation.window_guide import WindowGuide


def segmenter_of(config: Config, *, shapes_only: bool = False) -> Segmenter:
    """transformers' segmenter, or one's own, whose shapes cannot be known before it is built."""
    method, given = find_method(config.method.name), config.classifier
    assert given.image_size is not None
    batch_norm = "source" if method.source_statistics else given.batch_norm
    if shapes_only:
        name = given.name.removeprefix(PREFIX)
        segmenter = segmenter_shapes(name, short_side=given.image_size, batch_norm=batch_norm)
    else:
        segmenter = build_segmenter(
            given.name,
            num_classes=given.num_classes,
            short_side=given.image_size,
            batch_norm=batch_norm,
            options=given.options,
        )
    segmenter.to(META if shapes_only else idist.device(), model_dtype(config.run.precision))
    segmenter.compute_in(half_precision(given.precision), channels_last=given.channels_last)
    set_trainable(segmenter, "none" if method.trains == "nothing" else given.trainable)
    return segmenter


def window_guide_of(config: Config, class_names: Sequence[str] = (), *, shapes_only: bool = False) -> WindowGuide:
    """UNet, VAE and prompts, which are made of the classes' names."""
    given = config.unet
    assert given is not None
    options: dict[str, Any] = {
        "controlnet": given.controlnet,
        "window": config.method.window,  # type: ignore[attr-defined]  # guided methods of segmentation have windows
        "trainable": given.trainable,
        "autocast_dtype": autocast_dtype(config.run.precision),
        "activation_checkpointing": given.activation_checkpointing == "blocks",
    }
    if shapes_only:
        guide = window_guide_shapes(given.pretrained, num_classes=config.classifier.num_classes, **options)
    else:
        guide = load_window_guide(given.pretrained, class_names=class_names, prompt=given.prompt, **options)
    return guide.to(META if shapes_only else idist.device(), model_dtype(config.run.precision))


def segmenter_classes_of(config: Config, tasks: Sequence[Task]) -> FoundData:
    """The tasks, and whether their classes are the segmenter's.

    Raises:
        CheckpointError: the segmenter's folder cannot be read.
        ConfigError: the data and the segmenter disagree on the classes, their number or their order.
    """
    name = config.classifier.name
    return check_segmenter_classes(
        tasks, num_classes=config.classifier.num_classes, known=segmenter_class_names(name), source=name
    )


def segmenter_weights_of(config: Config) -> str:
    """Where the segmenter's weights come from."""
    return f"of {config.classifier.name}"


def unet_weights_of(config: Config) -> str | None:
    """Where the UNet's weights come from."""
    return None if config.unet is None else config.unet.pretrained


SEGMENTATION = Builders(
    classes=segmenter_classes_of,
    classifier=segmenter_of,
    guide=window_guide_of,
    classifier_weights=segmenter_weights_of,
    guide_weights=unet_weights_of,
    guide_option=("unet", "pretrained"),
)
