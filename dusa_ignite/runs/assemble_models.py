"""The models of a run, what of them learns, and how: from their sections of the config."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import ignite.distributed as idist
import torch

from dusa_ignite.config import Config
from dusa_ignite.data.settings import SETTINGS
from dusa_ignite.handlers import NormEMA
from dusa_ignite.methods import Method
from dusa_ignite.methods.find import find_method
from dusa_ignite.models import Classifier, Guide, build_classifier, load_transformer, load_vae
from dusa_ignite.models.early_norms import early_norm_parameters
from dusa_ignite.models.guides import find_family
from dusa_ignite.models.guides.vae import DOWNSAMPLING, LATENT_CHANNELS, PIXEL_CHANNELS
from dusa_ignite.runs.numerics import autocast_dtype, model_dtype
from dusa_ignite.runs.shapes import Shapes
from dusa_ignite.utils.own_parts import is_reference
from dusa_ignite.utils.quiet import quiet

T = TypeVar("T")

META = torch.device("meta")


def learns(config: Config) -> bool:
    """Whether the method changes any parameter."""
    return find_method(config.method.name).trains != "nothing"


def classifier_of(config: Config, *, shapes_only: bool = False) -> Classifier:
    """The classifier on its device; what the method trains of it requires gradients.

    Args:
        config: the whole.
        shapes_only: on torch's meta device instead, without its weights.

    Raises:
        CheckpointError: timm does not know it, or its weights are missing or do not fit.
        ConfigError: it has no layers of the kind that the method trains.
    """
    method = find_method(config.method.name)
    options = dict(config.classifier)
    options["pretrained"] = options["pretrained"] and options["checkpoint"] is None and not shapes_only
    if method.source_statistics:
        options["batch_norm"] = "source"
    if method.trains == "nothing":
        options["trainable"] = "none"
    classifier = build_classifier(options.pop("name"), **options, load=not shapes_only)
    classifier = classifier.to(META if shapes_only else idist.device(), model_dtype(config.run.precision))
    if method.trains == "early_norms":
        chosen = early_norm_parameters(classifier)
        classifier.requires_grad_(False)
        for parameter in chosen.values():
            parameter.requires_grad_(True)
    return classifier


def guide_of(config: Config, *, shapes_only: bool = False) -> Guide | None:
    """VAE, path and transformer on their device; ``None`` where the method needs none.

    Args:
        config: the whole.
        shapes_only: on torch's meta device instead, without their weights; the VAE is taken for Stable Diffusion's.
    """
    if not find_method(config.method.name).guided:
        return None
    assert config.transformer is not None
    assert config.path is not None
    in_latents = config.vae.pretrained is not None
    options = config.transformer.model_dump(exclude={"image_size", "trainable"})
    checkpoint, vae = options.pop("checkpoint"), config.vae.pretrained
    if shapes_only:
        checkpoint, vae = "random", vae and "random"
    transformer = load_transformer(
        checkpoint,
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
        vae=load_vae(vae) if vae is not None else None,
        scaling_factor=config.vae.scaling_factor,
        autocast_dtype=autocast_dtype(config.run.precision),
    )
    return guide.eval().to(META if shapes_only else idist.device(), model_dtype(config.run.precision))


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


def shapes_of(config: Config) -> Shapes:
    """What the memory of a run depends on, known before anything is built.

    Parts of the user's own, and what cannot be built without content, are named as unknown: it is no error here.
    """
    method = find_method(config.method.name)
    name, family = config.classifier.name, config.transformer.family if config.transformer else ""
    unknown = []
    classifier = None if is_reference(name) else _without_content(classifier_of, config)
    if classifier is None:
        unknown.append(f"classifier.name={name}")
    guide = _without_content(guide_of, config) if method.guided else None
    if guide is None and method.guided:
        unknown.append(f"transformer.family={family}")
    if method.footprint.__func__ is Method.footprint.__func__ and is_reference(config.method.name):  # type: ignore[attr-defined]
        unknown.append(f"method.name={config.method.name}")
    return Shapes(
        classifier=classifier,
        guide=guide,
        learns=learns(config),
        moments=config.optimizer.moments,
        footprint=method.footprint(config.method),
        averages_norms=config.norm_ema is not None and learns(config),
        batch_size=config.data.batch_size,
        micro_batch_size=config.data.micro_batch_size,
        resets=SETTINGS[config.setting].resets != "never" and learns(config),
        background=config.checkpoint.background,
        sharded=config.distributed.strategy == "fsdp",
        unknown=tuple(unknown),
    )


def _without_content(build: Callable[..., T], config: Config) -> T | None:
    try:
        with META, quiet():
            return build(config, shapes_only=True)
    except Exception:  # a model may do anything that needs content; what is wrong with the config, building it says
        return None


def micro_batch_size_of(config: Config) -> int:
    """Images in the graph at once."""
    return config.data.micro_batch_size


def with_micro_batches(config: Config, size: int) -> Config:
    """The same run with micro-batches of so many images."""
    return _with(config, "data", micro_batch_size=size)


def smaller(config: Config) -> Iterator[tuple[str, Config]]:
    """Options, as ``key=value``, with which the run may take less memory, and the run with each of them."""
    method = find_method(config.method.name)
    transformer, trainable = config.transformer if method.guided else None, config.classifier.trainable
    if trainable == "all" and method.trains == "anything":
        yield "classifier.trainable=norm", _with(config, "classifier", trainable="norm")
    if transformer and transformer.trainable and trainable != "none":
        yield "transformer.trainable=false", _with(config, "transformer", trainable=False)
    if transformer and autocast_dtype(config.run.precision) is None:
        yield "run.precision=bfloat16", _with(config, "run", precision="bfloat16")
    if transformer and config.distributed.strategy == "ddp" and idist.get_world_size() > 1:
        yield "distributed.strategy=fsdp", _with(config, "distributed", strategy="fsdp")
    if config.checkpoint.background is not False:
        yield "checkpoint.background=false", _with(config, "checkpoint", background=False)


def _with(config: Config, section: str, **options: object) -> Config:
    return config.model_copy(update={section: getattr(config, section).model_copy(update=options)})
