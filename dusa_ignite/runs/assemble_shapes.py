"""What the memory of a run depends on, from its config, and what would take less of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TypeVar

import ignite.distributed as idist

from dusa_ignite.config import Config
from dusa_ignite.data.settings import SETTINGS
from dusa_ignite.methods import Method
from dusa_ignite.methods.find import find_method
from dusa_ignite.methods.footprint import Footprint
from dusa_ignite.models.precision import autocast_dtype
from dusa_ignite.runs.assemble_models import (
    BUILDERS,
    classifier_of,
    guide_of,
    is_monitored,
    learns,
    micro_batch_size_of,
)
from dusa_ignite.runs.builders import META
from dusa_ignite.runs.shapes import Shapes, pairs_of, sides_of
from dusa_ignite.utils.own_parts import is_reference
from dusa_ignite.utils.quiet import quiet

T = TypeVar("T")


def shapes_of(config: Config) -> Shapes:
    """What the memory of a run depends on, known before anything is built.

    Parts of the user's own, and what cannot be built without content, are named as unknown: it is no error here.
    """
    method = find_method(config.method.name)
    name = config.classifier.name
    unknown = []
    classifier = None if is_reference(name) else _without_content(classifier_of, config)
    if classifier is None:
        unknown.append(f"classifier.name={name}")
    guide = _without_content(guide_of, config) if method.guided else None
    if guide is None and method.guided:
        unknown.append(_guide_name(config))
    footprint = _footprint_of(config, method)
    if footprint is None:
        unknown.append(f"method.name={config.method.name}")
    return Shapes(
        classifier=classifier,
        guide=guide,
        learns=learns(config),
        moments=config.optimizer.moments,
        footprint=footprint or Footprint(),
        averages_norms=config.norm_ema is not None and learns(config),
        batch_size=config.data.batch_size,
        micro_batch_size=micro_batch_size_of(config),
        monitored=is_monitored(config),
        snapshots=_snapshots(config) if learns(config) else 0,
        background=config.checkpoint.background,
        sharded=config.distributed.strategy == "fsdp",
        ratio=ratio_of(config),
        unknown=tuple(unknown),
    )


def ratio_of(config: Config) -> float:
    """Of the sides of what the classifier sees: squares, or in segmentation whole images."""
    return config.data.ratio if config.problem == "segmentation" else 1.0


def _guide_name(config: Config) -> str:
    section, option = BUILDERS[config.problem].guide_option
    return f"{section}.{option}={getattr(getattr(config, section), option, None)}"


def _snapshots(config: Config) -> int:
    """States that are kept to go back to: the source model's, and with rollback two that come later."""
    action = config.monitor.action if is_monitored(config) else "off"
    if action == "rollback":
        return 3
    return int(action == "stop" or SETTINGS[config.setting].resets != "never")


def _footprint_of(config: Config, method: type[Method]) -> Footprint | None:
    """What the method says that it keeps; ``None`` where it is the user's own and does not."""
    is_silent = method.footprint.__func__ is Method.footprint.__func__  # type: ignore[attr-defined]
    if is_silent and is_reference(config.method.name):
        return None
    try:
        return method.footprint(config.method)
    except Exception:  # a user's file may raise anything
        return None


def _without_content(build: Callable[..., T], config: Config) -> T | None:
    try:
        with META, quiet():
            return build(config, shapes_only=True)
    except Exception:  # a model may do anything that needs content; what is wrong with the config, building it says
        return None


def is_automatic(config: Config) -> bool:
    """Whether the micro-batch size is still to be found, see :mod:`dusa_ignite.runs.micro_batches`."""
    return config.data.micro_batch_size == "auto"


def largest_micro_batch(config: Config) -> int:
    """The largest micro-batch of a process that makes a difference: its images of a batch, or an image's pairs."""
    footprint = _footprint_of(config, find_method(config.method.name)) or Footprint()
    classifier = config.classifier
    if footprint.windows is None:
        return math.ceil(config.data.batch_size / idist.get_world_size())
    assert classifier.image_size is not None
    classes = min(max(footprint.guide_passes, footprint.guide_passes_alone), classifier.num_classes)
    return pairs_of(footprint.windows, sides_of(classifier.image_size, ratio_of(config)), classes=classes)


def with_micro_batches(config: Config, size: int) -> Config:
    """The same run with micro-batches of so many images."""
    return _with(config, "data", micro_batch_size=size)


def smaller(config: Config) -> Iterator[tuple[str, Config]]:
    """Options, as ``key=value``, with which the run may take less memory, and the run with each of them."""
    method = find_method(config.method.name)
    section, _ = BUILDERS[config.problem].guide_option
    guide, trainable = getattr(config, section) if method.guided else None, config.classifier.trainable
    if trainable == "all" and method.trains == "anything":
        yield "classifier.trainable=norm", _with(config, "classifier", trainable="norm")
    if guide and guide.trainable and trainable != "none":
        yield f"{section}.trainable=false", _with(config, section, trainable=False)
    if guide and guide.activation_checkpointing == "none":
        blocks = _with(config, section, activation_checkpointing="blocks")
        yield f"{section}.activation_checkpointing=blocks", blocks
    if guide and autocast_dtype(config.run.precision) is None:
        yield "run.precision=bfloat16", _with(config, "run", precision="bfloat16")
    if guide and section == "transformer" and config.distributed.strategy == "ddp" and idist.get_world_size() > 1:
        yield "distributed.strategy=fsdp", _with(config, "distributed", strategy="fsdp")
    if is_monitored(config):
        yield "monitor.action=off", _with(config, "monitor", action="off")
    if config.checkpoint.background is not False:
        yield "checkpoint.background=false", _with(config, "checkpoint", background=False)


def _with(config: Config, section: str, **options: object) -> Config:
    return config.model_copy(update={section: getattr(config, section).model_copy(update=options)})
