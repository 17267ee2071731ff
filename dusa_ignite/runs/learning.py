"""What learns and how, from options instead of a config: a run and an adapter are made of the same parts."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch

from dusa_ignite.data.settings import SETTINGS
from dusa_ignite.handlers import HarmMonitor, NormEMA
from dusa_ignite.handlers.harm_monitor import MonitorOptions
from dusa_ignite.methods import Method
from dusa_ignite.methods.find import find_method
from dusa_ignite.methods.optimizers import OptimizerOptions
from dusa_ignite.models import Classifier, Guide
from dusa_ignite.models.early_norms import early_norm_parameters
from dusa_ignite.models.guides import TimeSampler


def let_early_norms_learn(classifier: Classifier) -> None:
    """From now on nothing else requires gradients, see :mod:`dusa_ignite.models.early_norms`."""
    chosen = early_norm_parameters(classifier)
    classifier.requires_grad_(False)
    for parameter in chosen.values():
        parameter.requires_grad_(True)


def build_optimizer(
    options: OptimizerOptions, classifier: Classifier, guide: Guide | None, *, sharded: bool = False
) -> torch.optim.Optimizer:
    """One optimizer with a group for the classifier and one for the transformer: for all that requires gradients."""
    lr, transformer_lr = options.lr, options.transformer_lr
    groups = [{"params": [p for p in classifier.parameters() if p.requires_grad], "lr": lr}]
    if guide is not None:
        trained = [p for p in guide.transformer.parameters() if p.requires_grad]
        groups.append({"params": trained, "lr": lr if transformer_lr is None else transformer_lr})
    return options.build([group for group in groups if group["params"]], sharded=sharded)


def scaler_for(classifier: Classifier, guide: Guide | None) -> torch.amp.GradScaler:
    """Scales the loss where a model computes in float16, whose small gradients would else be 0."""
    halves = {classifier.autocast_dtype, None if guide is None else guide.autocast_dtype}
    return torch.amp.GradScaler(next(classifier.parameters()).device.type, enabled=torch.float16 in halves)


def build_method(
    options: Method.Options,
    classifier: Classifier,
    guide: Guide | None,
    optimizer: torch.optim.Optimizer | None,
    *,
    time: TimeSampler,
    scaler: torch.amp.GradScaler,
    setting: str,
    seed: int,
    micro_batch_size: int,
) -> Method:
    """The update; with nothing to learn (no optimizer) nothing can be predicted after it either."""
    return find_method(options.name)(
        options,
        classifier=classifier,
        optimizer=optimizer,
        guide=guide,
        time=time,
        scaler=scaler,
        seed=seed,
        micro_batch_size=micro_batch_size,
        predict_after=optimizer is not None and SETTINGS[setting].resets == "batch",
    )


def is_monitored(options: MonitorOptions, method: Method.Options) -> bool:
    """Whether something looks out for harm: where it is asked for, and where there can be any."""
    return options.action != "off" and not find_method(method.name).predicts_as_source


def build_monitor(
    options: MonitorOptions, method: Method.Options, classifier: Classifier, *, setting: str, micro_batch_size: int
) -> HarmMonitor | None:
    """What looks out for harm, with a copy of the classifier as it is now; ``None`` where nothing does."""
    if not is_monitored(options, method):
        return None
    source = deepcopy(classifier).requires_grad_(False)
    source.use_source_statistics()
    return HarmMonitor(
        source,
        options=options,
        micro_batch_size=micro_batch_size,
        keeps_learning=SETTINGS[setting].resets == "never",
    )


def stateful_of(
    classifier: Classifier,
    guide: Guide | None,
    optimizer: torch.optim.Optimizer | None,
    method: Method,
    norm_ema: NormEMA | None,
) -> dict[str, Any]:
    """Everything that an update changes, by name."""
    stateful: dict[str, Any] = {"classifier": classifier, "method": method}
    if optimizer is not None:
        stateful["optimizer"] = optimizer
    if guide is not None:
        stateful |= {"transformer": guide.transformer, "scaler": method.scaler}
    if norm_ema is not None:
        stateful["norm_ema"] = norm_ema
    return stateful
