"""The models of a run that classifies, from their sections of the config."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import ignite.distributed as idist

from dusa_ignite.config import Config
from dusa_ignite.data import Task
from dusa_ignite.errors import CheckpointError
from dusa_ignite.methods.find import find_method
from dusa_ignite.models import Classifier, Guide, build_classifier, load_transformer, load_vae
from dusa_ignite.models.guides import find_family
from dusa_ignite.models.guides.activation_checkpointing import checkpoint_blocks
from dusa_ignite.models.guides.vae import DOWNSAMPLING, LATENT_CHANNELS, PIXEL_CHANNELS
from dusa_ignite.models.metadata import metadata_of, names_in
from dusa_ignite.models.precision import autocast_dtype, half_precision, model_dtype
from dusa_ignite.runs.builders import META, Builders
from dusa_ignite.runs.class_check import FoundData, check_classes, check_guide
from dusa_ignite.runs.learning import let_early_norms_learn


def classes_of(config: Config, tasks: Sequence[Task]) -> FoundData:
    """The tasks of a data set, and what is known of their classes.

    Raises:
        CheckpointError: a file beside the classifier's weights cannot be read.
        ConfigError: the data, the classifier and the guide disagree on the classes, their number or their order.
    """
    given = config.classifier
    metadata = metadata_of(
        given.checkpoint, name=given.name, pretrained=given.pretrained, num_classes=given.num_classes
    )
    found = check_classes(
        tasks,
        num_classes=given.num_classes,
        data=config.data.name,
        from_folders=getattr(config.data, "classes", ()) is None,
        known=metadata.class_names,
        source=metadata.names_source,
    )
    check_guide_of(config, found.class_names)
    return found


def classifier_of(config: Config, *, shapes_only: bool = False) -> Classifier:
    """timm's classifier, or one's own."""
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


def guide_of(config: Config, class_names: Sequence[str] = (), *, shapes_only: bool = False) -> Guide:
    """VAE, path and transformer, which is told the classes by number, so their names are not needed."""
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
    return given.checkpoint or (f"of timm, {given.name}" if given.pretrained else "random")


def guide_weights_of(config: Config) -> str | None:
    """Where the transformer's weights come from."""
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


CLASSIFICATION = Builders(
    classes=classes_of,
    classifier=classifier_of,
    guide=guide_of,
    classifier_weights=classifier_weights_of,
    guide_weights=guide_weights_of,
    guide_option=("transformer", "family"),
)
