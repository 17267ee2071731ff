"""What an adapter in the user's own program is made of, from a run's config."""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist

from dusa_ignite.config import Config
from dusa_ignite.errors import ConfigError
from dusa_ignite.models.metadata import metadata_of
from dusa_ignite.runs.assemble_classification import check_guide_of
from dusa_ignite.runs.assemble_models import classifier_of, compile_models, guide_of, micro_batch_size_of
from dusa_ignite.runs.numerics import set_up_torch


def adapter_parts(config: Config) -> dict[str, Any]:
    """What an adapter is made of, as keyword arguments of :class:`dusa_ignite.Adapter`: a run's parts without its data.

    Of the section ``data`` only ``micro_batch_size`` is used; its folders need not exist.

    Raises:
        ConfigError: the config asks for several processes, for labels, or for segmentation.
    """
    if config.problem != "classification":
        raise ConfigError(f"problem: {config.problem} is for runs; an adapter classifies")
    if config.data.score_over != "all":
        raise ConfigError(
            "data.score_over: present tells the classes by the tasks' labels, which an adapter's images do not have; "
            "set data.score_over=all"
        )
    if config.distributed.strategy == "fsdp" or idist.get_world_size() > 1:
        raise ConfigError("distributed: an adapter works in one process; set distributed.strategy=ddp, start it once")
    set_up_torch(seed=config.seed, **config.run.model_dump(include={"deterministic", "num_threads", "tf32"}))
    given = config.classifier
    known = metadata_of(given.checkpoint, name=given.name, pretrained=given.pretrained, num_classes=given.num_classes)
    check_guide_of(config, known.class_names)
    classifier, guide = classifier_of(config), guide_of(config)
    compile_models(config, classifier, guide)
    return {
        "classifier": classifier,
        "guide": guide,
        "method": config.method,
        "optimizer": config.optimizer,
        "time": config.time,
        "norm_ema": config.norm_ema,
        "monitor": config.monitor,
        "setting": config.setting,
        "seed": config.seed,
        "micro_batch_size": micro_batch_size_of(config),
        "class_names": known.class_names,
    }
