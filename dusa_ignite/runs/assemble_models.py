"""The models of a run, what of them learns, and how: from their sections of the config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import ignite.distributed as idist
import torch

from dusa_ignite.config import Config
from dusa_ignite.data.clean import clean_images_of
from dusa_ignite.errors import CheckpointError, ConfigError
from dusa_ignite.handlers import HarmMonitor, NormEMA
from dusa_ignite.methods import Method
from dusa_ignite.methods.find import find_method
from dusa_ignite.models import Classifier, Guide, build_classifier, load_transformer, load_vae
from dusa_ignite.models.compiled import check_compiler, compile_blocks
from dusa_ignite.models.guides import find_family
from dusa_ignite.models.guides.activation_checkpointing import checkpoint_blocks
from dusa_ignite.models.guides.vae import DOWNSAMPLING, LATENT_CHANNELS, PIXEL_CHANNELS
from dusa_ignite.models.metadata import names_in
from dusa_ignite.runs import learning
from dusa_ignite.runs.assemble_segmentation import segmenter_of, window_guide_of
from dusa_ignite.runs.class_check import check_guide
from dusa_ignite.runs.clean_check import CleanResult, measure_clean
from dusa_ignite.runs.learning import build_method, build_monitor, build_optimizer, let_early_norms_learn, scaler_for
from dusa_ignite.runs.numerics import autocast_dtype, half_precision, model_dtype

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
    if config.problem == "segmentation":
        return segmenter_of(config)
    method = find_method(config.method.name)
    options = dict(config.classifier)
    options["pretrained"] = options["pretrained"] and options["checkpoint"] is None and not shapes_only
    if method.source_statistics:
        options["batch_norm"] = "source"
    if method.trains == "nothing":
        options["trainable"] = "none"
    half, channels_last = half_precision(options.pop("precision")), options.pop("channels_last")
    classifier = build_classifier(options.pop("name"), **options, load=not shapes_only)
    classifier = classifier.to(META if shapes_only else idist.device(), model_dtype(config.run.precision))
    classifier.compute_in(half, channels_last=channels_last)
    if method.trains == "early_norms":
        let_early_norms_learn(classifier)
    return classifier


def guide_of(config: Config, class_names: Sequence[str] = (), *, shapes_only: bool = False) -> Guide | None:
    """VAE, path and transformer on their device; ``None`` where the method needs none.

    Args:
        config: the whole.
        class_names: of the data; a guide that is told the classes in words needs them.
        shapes_only: on torch's meta device instead, without their weights; the VAE is taken for Stable Diffusion's.
    """
    if config.problem == "segmentation":
        return window_guide_of(config, class_names)
    if not find_method(config.method.name).guided:
        return None
    assert config.transformer is not None
    assert config.path is not None
    in_latents = config.vae.pretrained is not None
    options = config.transformer.model_dump(exclude={"image_size", "trainable", "activation_checkpointing"})
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
    if config.transformer.activation_checkpointing == "blocks":
        checkpoint_blocks(transformer)
    guide = Guide(
        transformer,
        path=find_family(config.transformer.family).paths[config.path.name],
        image_size=config.transformer.image_size,
        vae=load_vae(vae) if vae is not None else None,
        scaling_factor=config.vae.scaling_factor,
        autocast_dtype=autocast_dtype(config.run.precision),
    )
    return guide.eval().to(META if shapes_only else idist.device(), model_dtype(config.run.precision))


def classifier_weights_of(config: Config) -> str:
    """Where the classifier's weights come from."""
    given = config.classifier
    if config.problem == "segmentation":
        return f"of {given.name}"
    return given.checkpoint or (f"of timm, {given.name}" if given.pretrained else "random")


def guide_weights_of(config: Config) -> str | None:
    """Where the guide's weights come from."""
    if config.problem == "segmentation":
        return None if config.unet is None else config.unet.pretrained
    return None if config.transformer is None else config.transformer.checkpoint


def check_guide_of(config: Config, names: Sequence[str]) -> None:
    """Do classes of these names fit the guide, as far as its weights name theirs?

    Raises:
        ConfigError: they do not.
    """
    if find_method(config.method.name).guided and config.transformer and config.transformer.checkpoint != "random":
        checkpoint = config.transformer.checkpoint
        with suppress(CheckpointError):  # weights that are missing are an error of guide_of
            known = names_in(checkpoint, key="transformer.checkpoint", embedded="transformer")
            check_guide(names, known, checkpoint=checkpoint)


def restrict_models(
    config: Config, present: Mapping[str, torch.Tensor], classifier: Classifier, guide: Guide | None
) -> None:
    """``method.restrict_to: present``: from now on classifier and guide know the present classes alone.

    A method then adapts a classifier of so many classes, whatever it does with logits and with their number.

    Args:
        config: its method's options must fit so many classes.
        present: by task, (C,) bool.

    Raises:
        ConfigError: tasks hold different classes, fewer than two, or fewer than the method asks about.
    """
    (first, mask), *others = present.items()
    for task, other in others:
        if not torch.equal(mask, other):
            raise ConfigError(
                f"method.restrict_to: present needs tasks that hold the same classes, but {first} and {task} differ; "
                "run them one by one, or set method.restrict_to=all"
            )
    columns = mask.nonzero().squeeze(1)
    if len(columns) < 2:
        raise ConfigError(f"method.restrict_to: present needs at least two classes, but {first} holds one")
    for problem in config.method.problems(num_classes=len(columns)):
        raise ConfigError(f"{problem.keys[0]}: {problem.text} (the classes present, as method.restrict_to says)")
    classifier.restrict_to(columns)
    if guide is not None:
        guide.restrict_to(columns)


def micro_batch_size_of(config: Config) -> int:
    """Images in the graph at once; a ValueError where it is still to be found."""
    size = config.data.micro_batch_size
    if size == "auto":
        raise ValueError("data.micro_batch_size is auto; dusa_ignite.runs.micro_batches.resolved makes a number of it")
    return size


def compile_models(config: Config, classifier: Classifier, guide: Guide | None) -> None:
    """As ``run.compile`` says; see :func:`dusa_ignite.models.compiled.compile_blocks`."""
    if config.run.compile == "blocks":
        check_compiler(idist.device())
        compile_blocks(classifier, guide)


def optimizer_of(config: Config, classifier: Classifier, guide: Guide | None) -> torch.optim.Optimizer | None:
    """One optimizer with a group for the classifier and one for the transformer; ``None`` where nothing learns."""
    if not learns(config):
        return None
    sharded = config.distributed.strategy == "fsdp"
    return build_optimizer(config.optimizer, classifier, guide, sharded=sharded)


def method_of(
    config: Config, classifier: Classifier, guide: Guide | None, optimizer: torch.optim.Optimizer | None
) -> Method:
    """The update."""
    return build_method(
        config.method,
        classifier,
        guide,
        optimizer,
        time=config.time.sampler(),
        scaler=scaler_for(classifier, guide),
        setting=config.setting,
        seed=config.seed,
        micro_batch_size=micro_batch_size_of(config),
    )


def norm_ema_of(config: Config, classifier: Classifier) -> NormEMA | None:
    """The averaged norms, where asked for and where anything learns."""
    if config.norm_ema is None or not learns(config):
        return None
    return NormEMA(classifier, micro_batch_size=micro_batch_size_of(config), **config.norm_ema.model_dump())


def is_monitored(config: Config) -> bool:
    """Whether something looks out for harm."""
    return learning.is_monitored(config.monitor, config.method)


def monitor_of(config: Config, classifier: Classifier) -> HarmMonitor | None:
    """What looks out for harm, with a copy of the classifier as it is now; ``None`` where nothing does."""
    return build_monitor(
        config.monitor,
        config.method,
        classifier,
        setting=config.setting,
        micro_batch_size=micro_batch_size_of(config),
    )


def clean_result_of(
    config: Config, classes: tuple[str, ...], classifier: Classifier, guide: Guide | None
) -> CleanResult | None:
    """What classifier and guide make of clean images; ``None`` where there are none. All processes call it.

    Raises:
        DataError: the clean images cannot be used.
    """
    data = config.data
    if data.clean_root is None:
        return None
    return measure_clean(
        clean_images_of(data.clean_root, classes),
        number=data.clean_images,
        classifier=classifier,
        guide=guide,
        time=config.time.sampler(),
        seed=config.seed,
        batch_size=data.batch_size,
        micro_batch_size=micro_batch_size_of(config),
        skip_unreadable=data.on_error == "skip",
    )
