"""What an adapter is made of: from models and options to what learns, looks out for harm, and is reset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dusa_ignite.data.settings import SETTINGS
from dusa_ignite.errors import ConfigError
from dusa_ignite.handlers import HarmMonitor, NormEMA
from dusa_ignite.handlers.harm_monitor import MonitorOptions
from dusa_ignite.handlers.norm_ema import NormEMAOptions
from dusa_ignite.methods import Method
from dusa_ignite.methods.find import find_method
from dusa_ignite.methods.optimizers import OptimizerOptions
from dusa_ignite.models import Classifier, Guide
from dusa_ignite.models.guides.times import TimeOptions
from dusa_ignite.models.norms import set_trainable
from dusa_ignite.models.weights import weights_sha256
from dusa_ignite.runs.learning import (
    build_method,
    build_monitor,
    build_optimizer,
    let_early_norms_learn,
    scaler_for,
    stateful_of,
)


@dataclass(frozen=True)
class AdapterParts:
    """All of it, ready to be attached.

    Attributes:
        method: the update.
        monitor: looks out for harm, unless it is off.
        norm_ema: the averaged norms, where asked for.
        stateful: everything that an update changes, by name.
        resets: before what that is restored: ``task``, ``batch`` or ``never``.
        made_of: the options and the weights' hashes, as plain values: states are exchanged among equals alone.
    """

    method: Method
    monitor: HarmMonitor | None
    norm_ema: NormEMA | None
    stateful: dict[str, Any]
    resets: str
    made_of: dict[str, Any]


def make_parts(
    classifier: Classifier,
    guide: Guide | None,
    *,
    method: Method.Options,
    optimizer: OptimizerOptions,
    time: TimeOptions,
    norm_ema: NormEMAOptions | None,
    monitor: MonitorOptions,
    setting: str,
    seed: int,
    micro_batch_size: int,
) -> AdapterParts:
    """The parts; arguments as for :class:`dusa_ignite.Adapter`.

    Raises:
        ConfigError: they do not fit each other.
        ValueError: the method's options do not fit the classifier's classes.
    """
    _check(classifier, guide, method, setting)
    for model in filter(None, (classifier, guide)):
        model.eval()
    _check_outputs(classifier)
    _let_learn(classifier, find_method(method.name))
    learns = find_method(method.name).trains != "nothing"
    options = {"method": method, "optimizer": optimizer, "time": time, "norm_ema": norm_ema, "monitor": monitor}
    made_of = _describe(classifier, guide, {**options, "setting": setting, "seed": seed})
    watching = build_monitor(monitor, method, classifier, setting=setting, micro_batch_size=micro_batch_size)
    steps = build_optimizer(optimizer, classifier, guide) if learns else None
    update = build_method(
        method,
        classifier,
        guide,
        steps,
        time=time.sampler(),
        scaler=scaler_for(classifier, guide),
        setting=setting,
        seed=seed,
        micro_batch_size=micro_batch_size,
    )
    averages = None
    if norm_ema is not None and learns:
        averages = NormEMA(classifier, micro_batch_size=micro_batch_size, **norm_ema.model_dump())
    return AdapterParts(
        method=update,
        monitor=watching,
        norm_ema=averages,
        stateful=stateful_of(classifier, guide, steps, update, averages),
        resets=SETTINGS[setting].resets if learns else "never",
        made_of=made_of,
    )


def _check(classifier: Classifier, guide: Guide | None, method: Method.Options, setting: str) -> None:
    if not isinstance(classifier, Classifier):
        raise ConfigError(
            f"classifier: a {type(classifier).__name__}; wrap it, so that it is known how its images are prepared: "
            "Classifier(module, num_classes=..., view=declared_view(image_size=..., mean=..., std=...))"
        )
    if setting not in SETTINGS:
        raise ConfigError(f"setting: {setting!r} is not allowed; allowed: {' | '.join(SETTINGS)}")
    kind = find_method(method.name)
    if kind.has_teacher and SETTINGS[setting].resets == "batch":
        raise ConfigError(f"setting: {setting} resets before every batch, which {method.name}, an average, cannot do")
    if kind.guided and guide is None:
        raise ConfigError(f"guide: method {method.name} needs one; Adapter(classifier, guide, ...)")
    if guide is not None and not kind.guided:
        raise ConfigError(f"guide: method {method.name} has no use for one; leave it out")
    if guide is not None:
        own, others = (next(model.parameters()).device for model in (classifier, guide))
        if own != others:
            raise ConfigError(f"guide: it is on {others}, the classifier on {own}; move one, guide.to({str(own)!r})")
        classes = getattr(guide.transformer, "num_classes", classifier.num_classes)
        if classes != classifier.num_classes and guide.columns is None:
            raise ConfigError(f"guide: it knows {classes} classes, the classifier {classifier.num_classes}")


def _check_outputs(classifier: Classifier) -> None:
    """Two black images go through: a wrong number of classes would show late, or never."""
    size = classifier.image_size
    with torch.no_grad():
        shape = tuple(classifier(next(classifier.parameters()).new_zeros(2, 3, size, size)).shape)
    if shape != (2, classifier.num_classes):
        raise ConfigError(f"classifier: num_classes is {classifier.num_classes}, but two images give logits of {shape}")


def _let_learn(classifier: Classifier, method: type[Method]) -> None:
    """As the method wants it; where it leaves the choice, what requires gradients already."""
    if method.source_statistics:
        classifier.use_source_statistics()
    if method.trains == "early_norms":
        let_early_norms_learn(classifier)
    elif method.trains != "anything":
        set_trainable(classifier, {"norms": "norm", "nothing": "none"}[method.trains])
    if method.trains != "nothing" and not any(p.requires_grad for p in classifier.parameters()) and not method.guided:
        raise ConfigError("classifier: none of its parameters requires gradients, so that nothing can learn")


def _describe(classifier: Classifier, guide: Guide | None, options: Mapping[str, Any]) -> dict[str, Any]:
    said = {k: v.model_dump(mode="json") if hasattr(v, "model_dump") else v for k, v in options.items()}
    models: dict[str, torch.nn.Module] = {"classifier": classifier}
    if guide is not None:
        models |= {"transformer": guide.transformer}
        said["guide"] = {"image_size": guide.image_size, "scaling_factor": guide.scaling_factor}
        if guide.vae is not None:
            models["vae"] = guide.vae
    learning = sum(p.numel() for model in models.values() for p in model.parameters() if p.requires_grad)
    return {
        **said,
        "classifier": {"view": classifier.source_view.values(), "batch_norm": classifier.batch_norm},
        "parameters_that_learn": learning,
        "weights_sha256": {name: weights_sha256(model) for name, model in models.items()},
    }
