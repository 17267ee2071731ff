"""The models of a run that segments, from their sections of the config."""

from __future__ import annotations

from collections.abc import Sequence

import ignite.distributed as idist

from dusa_ignite.config import Config
from dusa_ignite.data import Task
from dusa_ignite.methods.find import find_method
from dusa_ignite.models.norms import set_trainable
from dusa_ignite.runs.class_check import FoundData, check_segmenter_classes
from dusa_ignite.runs.numerics import autocast_dtype, half_precision, model_dtype
from dusa_ignite.segmentation.load_guide import load_window_guide
from dusa_ignite.segmentation.load_segmenter import build_segmenter, segmenter_class_names
from dusa_ignite.segmentation.segmenter import Segmenter
from dusa_ignite.segmentation.window_guide import WindowGuide


def segmenter_of(config: Config) -> Segmenter:
    """The segmenter on its device; what the method trains of it requires gradients.

    Raises:
        CheckpointError: its folder is missing, or its weights do not fit.
        ConfigError: it has other classes, or no layers of the kind that the method trains.
        UserError: transformers is not installed.
    """
    method, given = find_method(config.method.name), config.classifier
    assert given.image_size is not None
    segmenter = build_segmenter(
        given.name,
        num_classes=given.num_classes,
        short_side=given.image_size,
        batch_norm="source" if method.source_statistics else given.batch_norm,
        options=given.options,
    )
    segmenter.to(idist.device(), model_dtype(config.run.precision))
    segmenter.compute_in(half_precision(given.precision), channels_last=given.channels_last)
    set_trainable(segmenter, "none" if method.trains == "nothing" else given.trainable)
    return segmenter


def window_guide_of(config: Config, class_names: Sequence[str]) -> WindowGuide | None:
    """UNet, VAE and prompts on their device; ``None`` where the method needs none.

    Args:
        config: the whole.
        class_names: of the data, which become prompts.
    """
    if not find_method(config.method.name).guided:
        return None
    assert config.unet is not None
    guide = load_window_guide(
        config.unet.pretrained,
        class_names=class_names,
        controlnet=config.unet.controlnet,
        window=config.method.window,  # type: ignore[attr-defined]  # guided methods of segmentation have windows
        prompt=config.unet.prompt,
        trainable=config.unet.trainable,
        autocast_dtype=autocast_dtype(config.run.precision),
        activation_checkpointing=config.unet.activation_checkpointing == "blocks",
    )
    return guide.to(idist.device(), model_dtype(config.run.precision))


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
