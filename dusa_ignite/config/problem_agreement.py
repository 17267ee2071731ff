"""What must agree between the problem and the other sections of a config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dusa_ignite.data import DATA_SETS
from dusa_ignite.data.settings import SETTINGS
from dusa_ignite.methods import METHODS, Method
from dusa_ignite.models.build import ClassifierOptions
from dusa_ignite.segmentation.load_segmenter import is_segmenter_name
from dusa_ignite.utils.own_parts import is_reference
from dusa_ignite.utils.section import Problem


def problem_problems(method: type[Method], name: str, sections: Mapping[str, Any]) -> Iterator[Problem]:
    """Parts that are for the other problem, and options that this one does not have.

    Args:
        method: of the config.
        name: the method's.
        sections: see :func:`dusa_ignite.config.agreement.contradictions`.
    """
    problem, data, classifier = (sections.get(key) for key in ("problem", "data", "classifier"))
    if problem is None:
        return
    if problem not in method.problems:
        known = [other.Options.model_fields["name"].default for other in METHODS if problem in other.problems]
        yield Problem(("method.name", "problem"), f"{name!r} is not for {problem}; allowed: {' | '.join(known)}")
    if data and data.problem != problem:
        known = [other.model_fields["name"].default for other in DATA_SETS if other.problem == problem]
        yield Problem(("data.name", "problem"), f"{data.name!r} is not for {problem}; allowed: {' | '.join(known)}")
    if problem == "segmentation":
        yield from _segmentation_problems(sections)
    elif classifier and is_segmenter_name(classifier.name):
        yield Problem(("classifier.name", "problem"), f"{classifier.name!r} is a segmenter; set problem=segmentation")


def _segmentation_problems(sections: Mapping[str, Any]) -> Iterator[Problem]:
    classifier, data, setting = (sections.get(key) for key in ("classifier", "data", "setting"))
    options, distributed, run = (sections.get(key) for key in ("method", "distributed", "run"))
    if classifier:
        yield from _segmenter_problems(classifier)
    if data and data.score_over != "all":
        yield Problem(("data.score_over", "problem"), "'present' is not allowed; allowed: all, for segmentation")
    if data and data.clean_root is not None:
        yield Problem(("data.clean_root", "problem"), "not allowed; it is for classification alone")
    if setting and SETTINGS[setting].correlated:
        yield Problem(("setting", "problem"), f"{setting!r} is not allowed: it needs one label per image")
    if options and options.name == "eata" and options.beta:
        yield Problem(("method.beta", "problem"), f"{options.beta:g} is not allowed; allowed: 0 (which is ETA)")
    if distributed and distributed.strategy == "fsdp":
        yield Problem(("distributed.strategy", "problem"), "'fsdp' is not allowed; allowed: ddp, for segmentation")
    if run and run.compile != "off":
        yield Problem(("run.compile", "problem"), f"{run.compile!r} is not allowed; allowed: off, for segmentation")


def _segmenter_problems(classifier: ClassifierOptions) -> Iterator[Problem]:
    if not (is_segmenter_name(classifier.name) or is_reference(classifier.name)):
        yield Problem(
            ("classifier.name", "problem"),
            f"{classifier.name!r} is no segmenter; allowed: transformers:<folder or hub id>, transformers:embedded, or "
            "your factory, path/to/file.py:build",
        )
    if classifier.image_size is None:
        yield Problem(
            ("classifier.image_size", "problem"),
            "missing; segmentation resizes the images' shorter side to it, the ratio kept (512 in the paper)",
        )
    given = classifier.model_fields_set & {"checkpoint", "view"}
    for key in sorted(given):
        if getattr(classifier, key) != ClassifierOptions.model_fields[key].default:
            yield Problem(
                (f"classifier.{key}", "problem"), "not allowed: a segmenter's folder has its weights and its view"
            )
    if classifier.options and not is_reference(classifier.name):
        yield Problem(("classifier.options", "problem"), "not allowed: a segmenter's folder has its options")


def prompted_guide_problems(name: str, sections: Mapping[str, Any]) -> Iterator[Problem]:
    """A UNet that is missing, has nothing to learn with, or sees windows larger than the images."""
    classifier, unet, options = (sections.get(key) for key in ("classifier", "unet", "method"))
    if unet is None and "unet" in sections:
        yield Problem(("unet", "method.name"), f"missing, but method.name={name} needs one")
    if classifier and unet and classifier.trainable == "none" and not unet.trainable:
        yield Problem(
            ("classifier.trainable", "unet.trainable"),
            "'none' with unet.trainable=false leaves nothing to train; change one, or take method.name=source",
        )
    if classifier and options and classifier.image_size and options.window > classifier.image_size:
        yield Problem(
            ("method.window", "classifier.image_size"),
            f"{options.window} is more than the {classifier.image_size} pixels of the images' shorter side",
        )
