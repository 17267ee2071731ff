"""From a config to the parts of a run: the only code that reads the one and makes the other.

It goes the data's way: tasks and their stream, the models that see the images, what learns, and what is written down.
"""

from __future__ import annotations

import os
from typing import Any

import ignite.distributed as idist
import torch

from dusa_ignite.config import Config, own_parts
from dusa_ignite.data import Task, TaskStream
from dusa_ignite.data.settings import SETTINGS
from dusa_ignite.distributed.rank_zero import on_rank_zero
from dusa_ignite.handlers import NormEMA
from dusa_ignite.handlers.tracking import check_tracking
from dusa_ignite.methods import Method
from dusa_ignite.methods.find import find_method
from dusa_ignite.models import Classifier, Guide, build_classifier, load_transformer, load_vae
from dusa_ignite.models.early_norms import early_norm_parameters
from dusa_ignite.models.guides import find_family
from dusa_ignite.models.guides.vae import DOWNSAMPLING, LATENT_CHANNELS, PIXEL_CHANNELS
from dusa_ignite.models.metadata import metadata_of
from dusa_ignite.runs.class_check import FoundData, check_classes
from dusa_ignite.runs.numerics import autocast_dtype, model_dtype, set_up_torch
from dusa_ignite.runs.parallel import full_state, parallelize
from dusa_ignite.runs.parts import HandlerOptions, Parts
from dusa_ignite.runs.provenance import describe_run


def assemble(config: Config, *, resumed: bool = False) -> Parts:
    """All parts of a run.

    Args:
        config: the whole.
        resumed: whether the run is resumed; then it goes on without a tracking server that is missing.

    Raises:
        UserError: something in the config, the data or the weights cannot be used.
    """
    tracking = on_rank_zero(lambda: check_tracking(**config.tracking.model_dump(), resumed=resumed))
    set_up(config)

    data = data_of(config)
    stream = build_stream(config, data.tasks)
    classifier = classifier_of(config)
    guide = guide_of(config)
    description = on_rank_zero(
        lambda: describe_run(
            classifier=classifier,
            guide=guide,
            tasks=data.tasks,
            seed=config.seed,
            compute_dtype=(guide and autocast_dtype(config.run.precision)) or model_dtype(config.run.precision),
            own_parts=own_parts(config),
        )
    )
    description |= {"view": classifier.source_view.describe(), **data.describe()}
    sharded = config.distributed.strategy == "fsdp"
    parallelize(classifier, guide, stream, sharded=sharded)
    optimizer = optimizer_of(config, classifier, guide)
    method = method_of(config, classifier, guide, optimizer)
    norm_ema = norm_ema_of(config, classifier)

    background = config.checkpoint.background

    stateful: dict[str, Any] = {"classifier": classifier, "method": method}
    if optimizer is not None:
        stateful["optimizer"] = optimizer
    if guide is not None:
        stateful |= {"transformer": guide.transformer, "scaler": method.scaler}
    if norm_ema is not None:
        stateful["norm_ema"] = norm_ema
    return Parts(
        stream=stream,
        classifier=classifier,
        method=method,
        norm_ema=norm_ema,
        stateful=stateful,
        full_state=full_state(stateful, sharded=sharded),
        resets=SETTINGS[config.setting].resets if learns(config) else "never",
        tracking={**tracking, "parameters": config.model_dump(mode="json")},
        description=description,
        notes=[*data.notes(), str(classifier.source_view)],
        summary=config.model_dump(include={"name", "setting", "seed"}) | {"method": config.method.name},
        options=HandlerOptions(
            log_every_seconds=config.run.log_every_seconds,
            max_skipped_in_a_row=config.run.max_skipped_in_a_row,
            export_classifier=config.export == "classifier",
            every_minutes=config.checkpoint.every_minutes,
            every_updates=config.checkpoint.every_updates,
            keep=config.checkpoint.keep,
            background=idist.device().type == "cuda" if background is None else background,
        ),
    )


def set_up(config: Config) -> None:
    """Seeds, determinism and threads."""
    set_up_torch(seed=config.seed, deterministic=config.run.deterministic, num_threads=config.run.num_threads)


def learns(config: Config) -> bool:
    """Whether the method changes any parameter."""
    return find_method(config.method.name).trains != "nothing"


def build_tasks(config: Config) -> list[Task]:
    """The tasks of the configured data set, arranged as the setting says; see :func:`data_of`."""
    return data_of(config).tasks


def data_of(config: Config) -> FoundData:
    """The tasks, arranged as the setting says, what is known of their classes, and what was left out.

    Raises:
        CheckpointError: a file beside the classifier's weights cannot be read.
        ConfigError: the data and the classifier disagree on the classes, their number or their order.
        DataError: a folder is missing or holds no images.
    """
    given = config.classifier
    metadata = metadata_of(
        given.checkpoint, name=given.name, pretrained=given.pretrained, num_classes=given.num_classes
    )
    found = check_classes(
        config.data.tasks(),
        num_classes=given.num_classes,
        data=config.data.name,
        from_folders=getattr(config.data, "classes", ()) is None,
        known=metadata.class_names,
        source=metadata.names_source,
    )
    return found._replace(tasks=SETTINGS[config.setting].arrange(found.tasks))


def build_stream(config: Config, tasks: list[Task]) -> TaskStream:
    """This process's share of all batches."""
    data = config.data
    return TaskStream(
        tasks,
        batch_size=data.batch_size,
        seed=config.seed,
        shuffle=data.shuffle,
        correlation=data.correlation if SETTINGS[config.setting].correlated else None,
        limit=data.limit,
        max_batches=config.run.max_batches,
        num_workers=min(data.num_workers, os.cpu_count() or 1),  # more than cores only get in each other's way
        on_error=data.on_error,
        rank=idist.get_rank(),
        world_size=idist.get_world_size(),
    )


def classifier_of(config: Config) -> Classifier:
    """The classifier on its device; what the method trains of it requires gradients.

    Raises:
        CheckpointError: timm does not know it, or its weights are missing or do not fit.
        ConfigError: it has no layers of the kind that the method trains.
    """
    method = find_method(config.method.name)
    options = dict(config.classifier)
    options["pretrained"] = options["pretrained"] and options["checkpoint"] is None
    if method.source_statistics:
        options["batch_norm"] = "source"
    if method.trains == "nothing":
        options["trainable"] = "none"
    classifier = build_classifier(options.pop("name"), **options)
    classifier = classifier.to(idist.device(), model_dtype(config.run.precision))
    if method.trains == "early_norms":
        chosen = early_norm_parameters(classifier)
        classifier.requires_grad_(False)
        for parameter in chosen.values():
            parameter.requires_grad_(True)
    return classifier


def guide_of(config: Config) -> Guide | None:
    """VAE, path and transformer on their device; ``None`` where the method needs none."""
    if not find_method(config.method.name).guided:
        return None
    assert config.transformer is not None
    assert config.path is not None
    in_latents = config.vae.pretrained is not None
    options = config.transformer.model_dump(exclude={"image_size", "trainable"})
    transformer = load_transformer(
        options.pop("checkpoint"),
        latent_size=config.transformer.image_size // (DOWNSAMPLING if in_latents else 1),
        in_channels=LATENT_CHANNELS if in_latents else PIXEL_CHANNELS,
        **options,
    )
    if not config.transformer.trainable:
        transformer.requires_grad_(False)
    guide = Guide(
        transformer,
        path=find_family(config.transformer.family).paths[config.path.name],
        image_size=config.transformer.image_size,
        vae=load_vae(config.vae.pretrained) if config.vae.pretrained is not None else None,
        scaling_factor=config.vae.scaling_factor,
        autocast_dtype=autocast_dtype(config.run.precision),
    )
    return guide.eval().to(idist.device(), model_dtype(config.run.precision))


def optimizer_of(config: Config, classifier: Classifier, guide: Guide | None) -> torch.optim.Optimizer | None:
    """One optimizer with a group for the classifier and one for the transformer; ``None`` where nothing learns."""
    if not learns(config):
        return None
    lr, transformer_lr = config.optimizer.lr, config.optimizer.transformer_lr
    groups = [{"params": [p for p in classifier.parameters() if p.requires_grad], "lr": lr}]
    if guide is not None:
        trained = [p for p in guide.transformer.parameters() if p.requires_grad]
        groups.append({"params": trained, "lr": lr if transformer_lr is None else transformer_lr})
    return config.optimizer.build(
        [group for group in groups if group["params"]], sharded=config.distributed.strategy == "fsdp"
    )


def method_of(
    config: Config, classifier: Classifier, guide: Guide | None, optimizer: torch.optim.Optimizer | None
) -> Method:
    """The update."""
    return find_method(config.method.name)(
        config.method,
        classifier=classifier,
        optimizer=optimizer,
        guide=guide,
        time=config.time.sampler(),
        scaler=torch.amp.GradScaler(idist.device().type, enabled=autocast_dtype(config.run.precision) is torch.float16),
        seed=config.seed,
        micro_batch_size=config.data.micro_batch_size,
        predict_after=learns(config) and SETTINGS[config.setting].resets == "batch",
    )


def norm_ema_of(config: Config, classifier: Classifier) -> NormEMA | None:
    """The averaged norms, where asked for and where anything learns."""
    if config.norm_ema is None or not learns(config):
        return None
    return NormEMA(classifier, micro_batch_size=config.data.micro_batch_size, **config.norm_ema.model_dump())
