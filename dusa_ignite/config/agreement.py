"""What must agree between a config's sections, whatever the method, the data set and the guide are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dusa_ignite.config.problem_agreement import problem_problems, prompted_guide_problems
from dusa_ignite.data.settings import SETTINGS
from dusa_ignite.methods import Method
from dusa_ignite.methods.find import find_method
from dusa_ignite.models.build import ClassifierOptions
from dusa_ignite.models.guides import TransformerOptions
from dusa_ignite.models.guides.vae import DOWNSAMPLING
from dusa_ignite.utils.section import Problem


def contradictions(name: str, sections: Mapping[str, Any]) -> list[Problem]:
    """Where sections do not fit each other, for a method.

    Args:
        name: the method's; it is known even where its options are wrong.
        sections: the checked sections by name. One that is wrong in itself is left out: it is reported anyway.
    """
    method = find_method(name)
    problems = list(problem_problems(method, name, sections))
    problems += _stream_problems(method, name, sections)
    problems += _monitor_problems(sections)
    problems += _speed_problems(method, sections)
    classifier, options = sections.get("classifier"), sections.get("method")
    if classifier and options:
        problems += options.problems(num_classes=classifier.num_classes)
    if sections.get("problem", method.problems[0]) not in method.problems:
        return problems  # what the method needs does not matter then
    if method.guided:
        by_prompts = "segmentation" in method.problems
        problems += prompted_guide_problems(name, sections) if by_prompts else _guide_problems(name, sections)
    elif method.trains != "nothing" and classifier:
        problems += _learning_problems(method, name, classifier)
    return problems


def _stream_problems(method: type[Method], name: str, sections: Mapping[str, Any]) -> Iterator[Problem]:
    data, setting = sections.get("data"), sections.get("setting")
    if data and data.batch_size < method.smallest_batch:
        yield Problem(
            ("data.batch_size", "method.name"),
            f"{data.batch_size} is not allowed; allowed: >= {method.smallest_batch}, as method.name={name} weighs the "
            "images of a batch against each other",
        )
    options = sections.get("method")
    if data and options and options.restrict_to == "present" and data.score_over == "all":
        yield Problem(
            ("method.restrict_to", "data.score_over"),
            "'present' needs data.score_over=present: an update that knows no other classes cannot predict them",
        )
    if setting and SETTINGS[setting].resets == "batch" and method.has_teacher:
        yield Problem(
            ("setting", "method.name"),
            f"{setting!r} is not allowed; method.name={name} predicts with a teacher that averages over batches",
        )
    if setting and SETTINGS[setting].resets == "batch" and sections.get("norm_ema"):
        yield Problem(
            ("norm_ema", "setting"), f"has no effect: setting={setting} resets before every batch; set norm_ema=null"
        )


def _monitor_problems(sections: Mapping[str, Any]) -> Iterator[Problem]:
    monitor, setting, distributed = (sections.get(name) for name in ("monitor", "setting", "distributed"))
    if not monitor or monitor.action != "rollback":
        return
    if setting and SETTINGS[setting].resets == "batch":
        yield Problem(
            ("monitor.action", "setting"), f"'rollback' has no effect: setting={setting} resets before every batch"
        )
    if distributed and distributed.strategy == "fsdp":
        yield Problem(
            ("monitor.action", "distributed.strategy"),
            "'rollback' is not allowed; allowed: warn | stop | off, as a checkpoint cannot hold a second state of what "
            "fsdp has sharded",
        )


def _speed_problems(method: type[Method], sections: Mapping[str, Any]) -> Iterator[Problem]:
    run, classifier, distributed = (sections.get(name) for name in ("run", "classifier", "distributed"))
    if run and classifier and run.precision == "float64" and classifier.precision != "float32":
        yield Problem(
            ("classifier.precision", "run.precision"),
            f"{classifier.precision!r} is not allowed; allowed: float32, as run.precision=float64 is for everything",
        )
    if classifier and classifier.precision == "float16" and not method.guided and method.trains != "nothing":
        yield Problem(
            ("classifier.precision", "method.name"),
            "'float16' is not allowed; allowed: float32 | bfloat16, as only methods with a guide scale their loss",
        )
    if distributed and distributed.strategy == "fsdp":
        yield from _sharding_problems(run, classifier)


def _sharding_problems(run: Any, classifier: ClassifierOptions | None) -> Iterator[Problem]:
    if run and run.compile == "blocks":
        yield Problem(
            ("run.compile", "distributed.strategy"),
            "'blocks' is not allowed; allowed: off, as fsdp gathers the weights of a block before each of its passes",
        )
    for key, section in (("run.precision", run), ("classifier.precision", classifier)):
        if section and section.precision == "float16":
            yield Problem(
                (key, "distributed.strategy"),
                "'float16' is not allowed; allowed: float32 | bfloat16, as the loss would be scaled, and torch does "
                "not scale back gradients of which some are sharded by fsdp and others are not",
            )


def _learning_problems(method: type[Method], name: str, classifier: ClassifierOptions) -> Iterator[Problem]:
    if classifier.trainable == "none":
        yield Problem(("classifier.trainable",), f"'none' leaves nothing to train for method.name={name}")
    elif classifier.trainable == "all" and method.trains != "anything":
        yield Problem(
            ("classifier.trainable",), f"'all' is not allowed; allowed: norm, as method.name={name} learns these"
        )


def _guide_problems(name: str, sections: Mapping[str, Any]) -> Iterator[Problem]:
    classifier, transformer = sections.get("classifier"), sections.get("transformer")
    if transformer:
        yield from _input_problems(transformer, sections)
    elif "transformer" in sections:
        yield Problem(("transformer", "method.name"), f"missing, but method.name={name} needs one")
    if classifier and transformer:
        yield from _model_problems(classifier, transformer)


def _model_problems(classifier: ClassifierOptions, transformer: TransformerOptions) -> Iterator[Problem]:
    if classifier.num_classes != transformer.num_classes:
        yield Problem(
            ("transformer.num_classes", "classifier.num_classes"),
            f"{transformer.num_classes} is not allowed; allowed: classifier.num_classes = {classifier.num_classes}",
        )
    if classifier.trainable == "none" and not transformer.trainable:
        yield Problem(
            ("classifier.trainable", "transformer.trainable"),
            "'none' with transformer.trainable=false leaves nothing to train; change one, or take method.name=source",
        )


def _input_problems(transformer: TransformerOptions, sections: Mapping[str, Any]) -> Iterator[Problem]:
    vae, path = sections.get("vae"), sections.get("path")
    if vae:
        multiple = transformer.patch * (DOWNSAMPLING if vae.pretrained else 1)
        if transformer.image_size % multiple:
            meaning = f"{DOWNSAMPLING} x the patch size" if vae.pretrained else "the patch size, as there is no VAE"
            yield Problem(
                ("transformer.image_size", "transformer.variant", "transformer.patch_size", "vae.pretrained"),
                f"{transformer.image_size} is not allowed; allowed: a multiple of {multiple} ({meaning})",
            )
    fitting = transformer.family_paths
    if path and path.name not in fitting:
        yield Problem(
            ("path.name", "transformer.family"),
            f"{path.name!r} does not fit transformer.family {transformer.family}; allowed: {' | '.join(fitting)}",
        )
