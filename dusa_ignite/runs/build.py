"""From a config to objects: the only code that knows both."""

from __future__ import annotations

import os
from typing import Any

import ignite.distributed as idist
import torch
from timm.layers import convert_sync_batchnorm
from torch import distributed as dist

from dusa_ignite.config import Config
from dusa_ignite.config.agreement import EARLY_NORM_METHODS, SOURCE_STATISTICS_METHODS
from dusa_ignite.config.data import Digits, ImageFolder, ImageNetC
from dusa_ignite.data.digits import digits_tasks
from dusa_ignite.data.image_folder import image_folder_tasks
from dusa_ignite.data.imagenet_c import imagenet_c_tasks
from dusa_ignite.data.settings import gradual, mixed
from dusa_ignite.data.stream import Task, TaskStream
from dusa_ignite.errors import ConfigError
from dusa_ignite.models import Classifier, Guide, build_classifier, load_transformer, load_vae
from dusa_ignite.models.early_norms import early_norm_parameters
from dusa_ignite.models.guides.paths import PATHS
from dusa_ignite.distributed.sharding import ShardedModel, ShardedOptimizer, shard


def set_up_torch(config: Config) -> None:
    """Seeds (they matter for ``random`` weights alone), determinism and threads."""
    torch.manual_seed(config.seed)
    if config.run.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(config.run.deterministic, warn_only=True)
    if config.run.num_threads is not None:
        torch.set_num_threads(config.run.num_threads)


def model_dtype(config: Config) -> torch.dtype:
    """The dtype of parameters: half precisions are for autocast only."""
    return torch.float64 if config.run.precision == "float64" else torch.float32


def autocast_dtype(config: Config) -> torch.dtype | None:
    """The dtype the guide computes in, where it differs from its parameters'."""
    device = idist.device()
    if config.run.precision == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else None
    return {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(config.run.precision)


def tasks(config: Config) -> list[Task]:
    """The tasks of the configured data set, in order.

    Raises:
        ConfigError: the data and the classifier disagree on the number of classes.
        DataError: a folder is missing or holds no images.
    """
    found = _tasks(config.data)
    classes = len(found[0].classes)
    if classes != config.classifier.num_classes:
        raise ConfigError(
            f"classifier.num_classes: {config.classifier.num_classes}, but data {config.data.name} has {classes}; "
            f"they must agree"
        )
    return {"gradual": gradual, "mixed": mixed}.get(config.setting, list)(found)


def _tasks(data: ImageNetC | ImageFolder | Digits) -> list[Task]:
    if isinstance(data, ImageNetC):
        return imagenet_c_tasks(data.root, corruptions=data.corruptions, severities=data.severities)
    if isinstance(data, ImageFolder):
        return image_folder_tasks(data.root, classes=data.classes)
    return digits_tasks(corruptions=data.corruptions, severities=data.severities)


def stream(config: Config, tasks: list[Task]) -> TaskStream:
    """This process's share of all batches."""
    data = config.data
    return TaskStream(
        tasks,
        batch_size=data.batch_size,
        seed=config.seed,
        shuffle=data.shuffle,
        correlation=data.correlation if config.setting == "correlated" else None,
        limit=data.limit,
        max_batches=config.run.max_batches,
        num_workers=min(data.num_workers, os.cpu_count() or 1),  # more than cores only get in each other's way
        on_error=data.on_error,
        rank=idist.get_rank(),
        world_size=idist.get_world_size(),
    )


def classifier(config: Config) -> Classifier:
    """The classifier on its device, with the parameters that the method learns set free.

    Raises:
        CheckpointError: timm does not know it, or its weights are missing or do not fit.
        ConfigError: it has no layers of the kind that the method learns.
    """
    options = config.classifier.model_dump()
    options["pretrained"] = options["pretrained"] and options["checkpoint"] is None
    if config.method.name in SOURCE_STATISTICS_METHODS:
        options["batch_norm"] = "source"
    if not config.learns:
        options["trainable"] = "none"
    classifier = build_classifier(options.pop("name"), **options).to(idist.device(), model_dtype(config))
    if config.method.name in EARLY_NORM_METHODS:
        chosen = early_norm_parameters(classifier)
        classifier.requires_grad_(False)
        for parameter in chosen.values():
            parameter.requires_grad_(True)
    return classifier


def guide(config: Config) -> Guide:
    """VAE, path and transformer on their device; the config must have a transformer."""
    assert config.transformer is not None
    assert config.path is not None
    options = config.transformer.model_dump(exclude={"image_size", "trainable"})
    transformer = load_transformer(
        options.pop("checkpoint"), latent_size=config.latent_size, in_channels=config.in_channels, **options
    )
    if not config.transformer.trainable:
        transformer.requires_grad_(False)
    guide = Guide(
        transformer,
        path=PATHS[config.path.name],
        image_size=config.transformer.image_size,
        vae=load_vae(config.vae.pretrained) if config.vae.pretrained is not None else None,
        scaling_factor=config.vae.scaling_factor,
        autocast_dtype=autocast_dtype(config),
    )
    return guide.eval().to(idist.device(), model_dtype(config))


def spread(config: Config, classifier: Classifier, guide: Guide | None, stream: TaskStream) -> None:
    """Make the models fit for several processes, where there are any, before their optimizer is made.

    Raises:
        ConfigError: what is asked for needs processes that torchrun or --nproc starts, or GPUs, or larger batches.
    """
    if config.distributed.strategy == "fsdp" and guide is not None:
        if not dist.is_initialized():
            raise ConfigError("distributed.strategy: fsdp needs torchrun (--nproc_per_node=1 for one) or --nproc")
        shard(guide.transformer, world_size=idist.get_world_size(), device=idist.device())
    if idist.get_world_size() > 1 and classifier.uses_batch_statistics:
        if idist.device().type != "cuda":
            raise ConfigError(
                "classifier.batch_norm: batch needs GPUs for statistics over several processes; take one process, or "
                "classifier.batch_norm=source"
            )
        if min(len(entry.indices) for entry in stream.plan) < idist.get_world_size():
            raise ConfigError(
                "classifier.batch_norm: batch needs an image for every process in every batch; choose data.batch_size "
                "or data.limit so that a task's last batch has them, or classifier.batch_norm=source"
            )
        classifier.backbone = convert_sync_batchnorm(classifier.backbone)
        classifier.eval()


def full_state(config: Config, stateful: dict[str, Any]) -> dict[str, Any]:
    """The stateful things as checkpoints hold them: whatever is sharded, gathered."""
    if config.distributed.strategy != "fsdp" or "transformer" not in stateful:
        return stateful
    models = {name: stateful[name] for name in ("classifier", "transformer")}
    return {
        **stateful,
        "transformer": ShardedModel(stateful["transformer"]),
        "optimizer": ShardedOptimizer(stateful["optimizer"], models),
    }
