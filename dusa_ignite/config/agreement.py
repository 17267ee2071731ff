"""What must agree between a config's sections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from dusa_ignite.config.methods import Dusa
from dusa_ignite.config.models import Classifier, PathName, Transformer
from dusa_ignite.config.other_methods import DiffusionTta

# The paths that a family's checkpoints are made for, its default first. A transformer without a learned variance counts
# as repa, whichever way its time runs.
FAMILY_PATHS: dict[str, tuple[PathName, ...]] = {
    "repa": ("linear", "cosine", "reverse_linear"),
    "sit": ("reverse_linear",),
    "dit": ("ddpm",),
}

GUIDED_METHODS = ("dusa", "dusa_u", "diffusion_tta")  # need transformer, vae, path and time; the others ignore these
STILL_METHODS = ("source", "bn", "lame")  # learn nothing
NORM_METHODS = ("tent", "eata", "sar", "rotta", "deyo", "roid")  # learn the classifier's norm layers only
EARLY_NORM_METHODS = ("sar", "deyo")  # of these, those before the last layers
# They take no BatchNorm statistics from the batch, or mix them in themselves.
SOURCE_STATISTICS_METHODS = ("source", "bn", "lame", "rotta")
BATCH_METHODS = ("roid", "lame")  # weigh a batch's images against each other
TEACHER_METHODS = ("cotta", "rotta")  # predict with an average over batches

VAE_DOWNSAMPLING = 8  # image side / latent side


class Problem(NamedTuple):
    """One thing that is wrong: the dotted keys involved, the one at fault first, and what is wrong with it."""

    keys: tuple[str, ...]
    text: str


def contradictions(method_name: str, sections: Mapping[str, Any]) -> list[Problem]:
    """Where sections do not fit each other, for a method.

    Args:
        method_name: it is known even where the method's other options are wrong.
        sections: the checked sections by name. One that is wrong in itself is left out: it is reported anyway.
    """
    problems = list(_stream_problems(method_name, sections))
    if method_name in GUIDED_METHODS:
        problems += _guide_problems(method_name, sections)
    elif method_name not in STILL_METHODS:
        problems += _learning_problems(method_name, sections)
    return problems


def _stream_problems(method_name: str, sections: Mapping[str, Any]) -> Iterator[Problem]:
    data = sections.get("data")
    if data and data.batch_size < 2 and method_name in BATCH_METHODS:
        yield Problem(
            ("data.batch_size", "method.name"),
            f"{data.batch_size} is not allowed; allowed: >= 2, as method.name={method_name} weighs the images of a "
            "batch against each other",
        )
    if sections.get("setting") == "episodic" and method_name in TEACHER_METHODS:
        yield Problem(
            ("setting", "method.name"),
            f"'episodic' is not allowed; method.name={method_name} predicts with a teacher that averages over batches",
        )


def _learning_problems(method_name: str, sections: Mapping[str, Any]) -> Iterator[Problem]:
    classifier = sections.get("classifier")
    if classifier is None:
        return
    if classifier.trainable == "none":
        yield Problem(("classifier.trainable",), f"'none' leaves nothing to train for method.name={method_name}")
    elif classifier.trainable == "all" and method_name in NORM_METHODS:
        yield Problem(
            ("classifier.trainable",), f"'all' is not allowed; allowed: norm, as method.name={method_name} learns these"
        )


def _guide_problems(method_name: str, sections: Mapping[str, Any]) -> Iterator[Problem]:
    classifier, transformer, method = (sections.get(name) for name in ("classifier", "transformer", "method"))
    if classifier and isinstance(method, Dusa) and method.num_top + method.num_random > classifier.num_classes:
        yield Problem(
            ("method.num_top", "method.num_random", "classifier.num_classes"),
            f"num_top {method.num_top} + num_random {method.num_random} is more than there are classes; "
            f"allowed: together <= classifier.num_classes = {classifier.num_classes}",
        )
    if classifier and isinstance(method, DiffusionTta) and (method.top_k or 0) > classifier.num_classes:
        yield Problem(("method.top_k",), f"{method.top_k} is not allowed; allowed: <= {classifier.num_classes} classes")
    if transformer:
        yield from _input_problems(transformer, sections)
    elif "transformer" in sections:
        yield Problem(("transformer", "method.name"), f"missing, but method.name={method_name} needs one")
    if classifier and transformer:
        yield from _model_problems(classifier, transformer)


def _model_problems(classifier: Classifier, transformer: Transformer) -> Iterator[Problem]:
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


def _input_problems(transformer: Transformer, sections: Mapping[str, Any]) -> Iterator[Problem]:
    vae, path = sections.get("vae"), sections.get("path")
    if vae:
        multiple = transformer.patch * (VAE_DOWNSAMPLING if vae.pretrained else 1)
        if transformer.image_size % multiple:
            meaning = "8 x the patch size" if vae.pretrained else "the patch size, as there is no VAE"
            yield Problem(
                ("transformer.image_size", "transformer.variant", "transformer.patch_size", "vae.pretrained"),
                f"{transformer.image_size} is not allowed; allowed: a multiple of {multiple} ({meaning})",
            )
    fitting = FAMILY_PATHS[transformer.family]
    if path and path.name not in fitting:
        yield Problem(
            ("path.name", "transformer.family"),
            f"{path.name!r} does not fit transformer.family {transformer.family}; allowed: {' | '.join(fitting)}",
        )
