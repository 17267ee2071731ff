"""From a config to the update: optimizer, memory, and the method's process function."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import ignite.distributed as idist
import torch

from dusa_ignite.runs.build import model_dtype
from dusa_ignite.config import Config
from dusa_ignite.config.entropy_methods import Eata
from dusa_ignite.config.other_methods import Roid
from dusa_ignite.data.digits import clean_half
from dusa_ignite.data.image_folder import image_folder_tasks
from dusa_ignite.data.stream import stack_images
from dusa_ignite.handlers import NormEMA
from dusa_ignite.methods import MEMORIES, METHODS, Update
from dusa_ignite.methods.eata import fisher_information
from dusa_ignite.methods.episodic import predict_after
from dusa_ignite.methods.roid import correct_share
from dusa_ignite.methods.step import chunks
from dusa_ignite.models import Classifier, Guide
from dusa_ignite.models.guides.times import TIMES
from dusa_ignite.models.views import Images, to_float
from dusa_ignite.utils.seeding import numpy_generator

FISHER_BATCH = 64  # images; beta was chosen for it


def optimizer(config: Config, classifier: Classifier, guide: Guide | None) -> torch.optim.Optimizer | None:
    """One optimizer with a group for the classifier and one for the transformer; ``None`` where nothing learns."""
    if not config.learns:
        return None
    options = config.optimizer.model_dump()
    lr, transformer_lr = options.pop("lr"), options.pop("transformer_lr")
    groups = [{"params": [p for p in classifier.parameters() if p.requires_grad], "lr": lr}]
    if guide is not None:
        trained = [p for p in guide.transformer.parameters() if p.requires_grad]
        groups.append({"params": trained, "lr": lr if transformer_lr is None else transformer_lr})
    kinds: dict[str, Any] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    name = options.pop("name")
    fused = not (name == "sgd" and config.distributed.strategy == "fsdp")  # torch has no fused SGD for shards
    return kinds[name]([group for group in groups if group["params"]], fused=fused, **options)


def memory(config: Config, classifier: Classifier) -> Any:
    """What the method remembers between updates, as at the start; ``None`` where it remembers nothing."""
    kind = MEMORIES.get(config.method.name)
    return kind(classifier) if kind is not None else None


def predictor(classifier: Classifier, memory: Any) -> Classifier:
    """The model whose predictions count: the teacher, where the method remembers one."""
    return memory.teacher.classifier if hasattr(memory, "teacher") else classifier


def update(
    config: Config,
    classifier: Classifier,
    guide: Guide | None,
    optimizer: torch.optim.Optimizer | None,
    *,
    memory: Any = None,
    scaler: torch.amp.GradScaler | None = None,
) -> Update:
    """The method's process function."""
    name = config.method.name
    factory = METHODS[name]
    time = config.time.model_dump()
    parts = {
        "classifier": classifier,
        "guide": guide,
        "optimizer": optimizer,
        "memory": memory,
        "scaler": scaler,
        "seed": config.seed,
        "time": TIMES[time.pop("name")](**time),
        "micro_batch_size": config.data.micro_batch_size,
    }
    options = config.method.model_dump(exclude={"name", "fisher_root", "fisher_images"})
    options |= options.pop("loss", {})
    if isinstance(config.method, Eata) and config.method.beta and config.method.fisher_root is not None:
        options["fisher"] = fisher(config, classifier)
    needed = inspect.signature(factory).parameters
    process = factory(**{part: thing for part, thing in parts.items() if part in needed}, **options)
    if config.setting != "episodic" or not config.learns or options.get("predict_after"):
        return process
    correct = correct_share if isinstance(config.method, Roid) and config.method.prior_correction else None
    return predict_after(process, classifier, micro_batch_size=config.data.micro_batch_size, correct=correct)


def fisher(config: Config, classifier: Classifier) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """EATA's Fisher information from clean images, the same in every process."""
    assert isinstance(config.method, Eata)
    assert config.method.fisher_root is not None
    if config.method.fisher_root == "embedded":
        dataset: Any = list(zip(*clean_half(), strict=True))
    else:
        dataset = image_folder_tasks(config.method.fisher_root, key="method.fisher_root")[0].dataset
    chosen = numpy_generator(config.seed, "fisher").permutation(len(dataset))[: config.method.fisher_images]

    def batches() -> Iterator[Images]:
        for part in slices(len(chosen), FISHER_BATCH):
            images = stack_images([dataset[int(index)][0] for index in chosen[part]])
            yield to_float(images, device=idist.device(), dtype=model_dtype(config))

    return fisher_information(classifier, batches(), micro_batch_size=config.data.micro_batch_size)


def norm_ema(config: Config, classifier: Classifier) -> NormEMA | None:
    """The averaged norms, where asked for and where anything learns."""
    if config.norm_ema is None or not config.learns:
        return None
    return NormEMA(
        classifier,
        decay=config.norm_ema.decay,
        evaluate=config.norm_ema.evaluate,
        micro_batch_size=config.data.micro_batch_size,
    )
