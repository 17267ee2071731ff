"""Pre-training on clean digits: the classifier that the demo adapts, and the flow transformer that guides it.

Both are trained on the clean half of :mod:`dusa_ignite.data.digits` by the loop of :mod:`dusa_ignite.pretraining.loop`
with a loss of their own. What is kept are the exponential moving averages of their weights.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

import torch
from ignite.metrics import Accuracy, Average
from torch import nn
from torch.nn import functional as F

from dusa_ignite.data.digits import CLASSES, IMAGE_SIZE, clean_half, task_half, validation_mask
from dusa_ignite.models import build_classifier, load_transformer
from dusa_ignite.models.guides.paths import linear
from dusa_ignite.models.guides.times import TimeSampler, fixed
from dusa_ignite.models.views import guide_view
from dusa_ignite.models.weights import save_weights
from dusa_ignite.pretraining.augment import training_batches
from dusa_ignite.pretraining.config import PretrainConfig
from dusa_ignite.pretraining.free_folder import make_free
from dusa_ignite.pretraining.loop import Labelled, evaluate, train
from dusa_ignite.results.rows import write_json
from dusa_ignite.utils.seeding import derive_seed

logger = logging.getLogger(__name__)

CLASSIFIER, TRANSFORMER, METRICS = "classifier.safetensors", "transformer.safetensors", "metrics.json"
GUIDE_TIME = 0.5  # noise level at which the transformer's choice of class is measured


class Split(NamedTuple):
    """The three parts of the digits."""

    training: Labelled
    validation: Labelled
    test: Labelled


def pretrain(config: PretrainConfig, *, overwrite: bool = False) -> dict[str, Any]:
    """Train both models and write their averaged weights and ``metrics.json`` to ``config.output_dir``.

    Returns:
        What ``metrics.json`` holds: accuracies in [0, 1], losses and seconds.

    Raises:
        ConfigError: the folder already holds results and ``overwrite`` is not given, or cannot be written to.
        DataError: scikit-learn is missing.
    """
    folder = Path(config.output_dir)
    make_free(folder, (CLASSIFIER, TRANSFORMER, METRICS), overwrite=overwrite)
    if config.num_threads is not None:
        torch.set_num_threads(config.num_threads)
    split = load_split()
    classifier, classifier_metrics = train_classifier(config, split)
    transformer, transformer_metrics = train_transformer(config, split)
    save_weights(classifier.get_submodule("backbone").state_dict(), folder / CLASSIFIER)
    save_weights(transformer.state_dict(), folder / TRANSFORMER)
    metrics = {"seed": config.seed, "classifier": classifier_metrics, "transformer": transformer_metrics}
    write_json(folder / METRICS, metrics)
    logger.info("weights and metrics: %s", folder)
    return metrics


def seed_all(seed: int, purpose: str) -> torch.Generator:
    """Seed torch (initial weights) and return a generator for what training draws; both keyed by the purpose too."""
    torch.manual_seed(derive_seed(seed, purpose, "weights"))
    return torch.Generator().manual_seed(derive_seed(seed, purpose, "training"))


def load_split() -> Split:
    """The clean half's training (750) and validation (149) parts, and the test half (898)."""
    images, labels = clean_half()
    test_images, test_labels = task_half()
    images, test_images = images / 255, test_images / 255
    held_out = validation_mask(len(labels))
    return Split(
        (images[~held_out], labels[~held_out]), (images[held_out], labels[held_out]), (test_images, test_labels)
    )


def train_classifier(config: PretrainConfig, split: Split) -> tuple[nn.Module, dict[str, float]]:
    """The averaged classifier, and its accuracies and seconds."""
    options, generator = config.classifier, seed_all(config.seed, "classifier")
    model = build_classifier(
        options.name, num_classes=len(CLASSES), image_size=IMAGE_SIZE, batch_norm="source", options=options.options
    )

    def loss(batch: Labelled) -> torch.Tensor:
        return F.cross_entropy(model(batch[0]), batch[1], label_smoothing=options.label_smoothing)

    def measure(ema: nn.Module, data: Labelled) -> dict[str, float]:
        return evaluate(ema, predict=_logits, metrics={"accuracy": Accuracy()}, data=data)

    ema, metrics = train(
        model,
        loss=loss,
        batches=training_batches(
            *split.training, batch_size=options.batch_size, generator=generator, **config.augmentation.model_dump()
        ),
        validate=lambda ema: measure(ema, split.validation),
        options=options,
        log_every_seconds=config.log_every_seconds,
    )
    return ema, {
        "validation_accuracy": metrics["accuracy"],
        "test_accuracy": measure(ema, split.test)["accuracy"],
        "training_loss": metrics["training_loss"],
        "seconds": metrics["seconds"],
    }


def train_transformer(config: PretrainConfig, split: Split) -> tuple[nn.Module, dict[str, float]]:
    """The averaged transformer; its validation loss, how often the right class has the smallest loss, and seconds."""
    options, generator = config.transformer, seed_all(config.seed, "transformer")
    model: Any = load_transformer(
        "random",
        family="repa",
        num_classes=len(CLASSES),
        latent_size=options.image_size,
        in_channels=3,
        patch_size=options.patch_size,
        hidden_size=options.hidden_size,
        depth=options.depth,
        num_heads=options.num_heads,
    )
    model.y_embedder.requires_grad_(True)
    nn.init.normal_(model.y_embedder.embedding_table.weight, std=options.class_std)  # larger than 0.02: learns sooner
    draw_time: TimeSampler = options.time.sampler()  # type: ignore[attr-defined]

    def loss(batch: Labelled) -> torch.Tensor:
        unconditional = torch.rand(len(batch[1]), generator=generator) < options.class_dropout
        labels = batch[1].masked_fill(unconditional, len(CLASSES))
        return velocity_losses(model, (batch[0], labels), options.image_size, draw_time, generator).mean()

    def predict(ema: nn.Module, batch: Labelled) -> tuple[torch.Tensor, torch.Tensor]:
        return class_losses(ema, batch, options.image_size, t=GUIDE_TIME), batch[1]

    def measure(ema: nn.Module, data: Labelled) -> dict[str, float]:
        own_metrics = {"loss": Average(_own_loss), "guide_accuracy": Accuracy(_smallest_loss)}
        return evaluate(ema, predict=predict, metrics=own_metrics, data=data)

    ema, metrics = train(
        model,
        loss=loss,
        batches=training_batches(
            *split.training, batch_size=options.batch_size, generator=generator, **config.augmentation.model_dump()
        ),
        validate=lambda ema: measure(ema, split.validation),
        options=options,
        log_every_seconds=config.log_every_seconds,
    )
    return ema, {
        "validation_loss": metrics["loss"],
        "validation_guide_accuracy": metrics["guide_accuracy"],
        "test_guide_accuracy": measure(ema, split.test)["guide_accuracy"],
        "training_loss": metrics["training_loss"],
        "seconds": metrics["seconds"],
    }


def velocity_losses(
    model: nn.Module, batch: Labelled, image_size: int, draw_time: TimeSampler, generator: torch.Generator
) -> torch.Tensor:
    """(B,) mean squared errors of the predicted velocity, at one noise and one time per image."""
    x0 = guide_view(batch[0], size=image_size)
    z = torch.randn(x0.shape, generator=generator)
    t = torch.tensor([draw_time(generator) for _ in range(len(x0))])
    x_t, velocity, model_time = linear(x0, z, t)
    return (model(x_t, model_time, batch[1]) - velocity).square().mean(dim=(1, 2, 3))


def class_losses(model: nn.Module, batch: Labelled, image_size: int, *, t: float) -> torch.Tensor:
    """(B, classes) velocity losses of every class, all at the same noise and time ``t``."""
    losses = [
        velocity_losses(
            model,
            (batch[0], torch.full_like(batch[1], label)),
            image_size,
            fixed(t=t),
            torch.Generator().manual_seed(0),
        )
        for label in range(len(CLASSES))
    ]
    return torch.stack(losses, dim=1)


def _logits(model: nn.Module, batch: Labelled) -> tuple[torch.Tensor, torch.Tensor]:
    return model(batch[0]), batch[1]


def _own_loss(output: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """(B, 1) the loss of each image's own class, of (B, classes) losses and (B,) labels."""
    losses, labels = output
    return losses.gather(1, labels[:, None])


def _smallest_loss(output: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    losses, labels = output
    return -losses, labels
