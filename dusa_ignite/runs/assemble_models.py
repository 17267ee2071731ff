"""The models of a run, what of them learns, and how: from their sections of the config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ignite.distributed as idist
import torch

from dusa_ignite.config import Config
from dusa_ignite.data import Task
from dusa_ignite.data.clean import clean_images_of
from dusa_ignite.errors import ConfigError
from dusa_ignite.handlers import HarmMonitor, NormEMA
from dusa_ignite.methods import Method
from dusa_ignite.methods.find import find_method
from dusa_ignite.models import Classifier, Guide
from dusa_ignite.models.compiled import check_compiler, compile_blocks
from dusa_ignite.runs import learning
from dusa_ignite.runs.assemble_classification import CLASSIFICATION
from dusa_ignite.runs.assemble_segmentation import SEGMENTATION
from dusa_ignite.runs.class_check import FoundData
from dusa_ignite.runs.clean_check import CleanResult, measure_clean
from dusa_ignite.runs.learning import build_method, build_monitor, build_optimizer, scaler_for

BUILDERS = {"classification": CLASSIFICATION, "segmentation": SEGMENTATION}


def learns(config: Config) -> bool:
    """Whether the method changes any parameter."""
    return find_method(config.method.name).trains != "nothing"


def classes_of(config: Config, tasks: Sequence[Task]) -> FoundData:
    """The tasks of a data set, and what is known of their classes.

    Raises:
        CheckpointError: a file beside the classifier's weights cannot be read.
        ConfigError: the data, the classifier and the guide disagree on the classes, their number or their order.
    """
    return BUILDERS[config.problem].classes(config, tasks)


def classifier_of(config: Config, *, shapes_only: bool = False) -> Classifier:
    """The classifier on its device; what the method trains of it requires gradients.

    Args:
        config: the whole.
        shapes_only: on torch's meta device instead, without its weights.

    Raises:
        CheckpointError: it is not known, or its weights are missing or do not fit.
        ConfigError: it has other classes than the config says, or no layers of the kind that the method trains.
        UserError: a package that it needs is not installed.
    """
    return BUILDERS[config.problem].classifier(config, shapes_only=shapes_only)


def guide_of(config: Config, class_names: Sequence[str] = (), *, shapes_only: bool = False) -> Guide | None:
    """The guide on its device; ``None`` where the method needs none.

    Args:
        config: the whole.
        class_names: of the data; a guide that is told the classes in words needs them.
        shapes_only: on torch's meta device instead, without their weights; the VAE is taken for Stable Diffusion's.
    """
    if not find_method(config.method.name).guided:
        return None
    return BUILDERS[config.problem].guide(config, class_names, shapes_only=shapes_only)


def classifier_weights_of(config: Config) -> str:
    """Where the classifier's weights come from."""
    return BUILDERS[config.problem].classifier_weights(config)


def guide_weights_of(config: Config) -> str | None:
    """Where the guide's weights come from; ``None`` where there is none."""
    return BUILDERS[config.problem].guide_weights(config)


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
