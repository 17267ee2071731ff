"""A check's look at the models: they are built as for the run, and look at clean images."""

from __future__ import annotations

from torch import nn

from dusa_ignite.runs.assemble_models import (
    classifier_of,
    clean_result_of,
    guide_of,
    method_of,
    norm_ema_of,
    optimizer_of,
)
from dusa_ignite.runs.check_report import Section, counted
from dusa_ignite.runs.check_subject import Subject
from dusa_ignite.runs.learning import stateful_of
from dusa_ignite.runs.memory import memory_of
from dusa_ignite.runs.memory_check import advice


def classifier_section(subject: Subject) -> Section:
    """The classifier with its weights and its view."""
    section = Section("classifier")
    with section.collecting():
        subject.classifier = classifier = classifier_of(subject.config)
        weights, parameters = subject.options.classifier_weights, _parameters(classifier)
        section.facts = {"weights": weights, "parameters": parameters, "view": classifier.source_view.describe()}
        section.lines.append(f"weights {weights}: {counted(parameters, 'parameter')}")
        section.lines.append(classifier.view_line())
    return section


def guide_section(subject: Subject) -> Section:
    """The guide with its weights, where the method needs one."""
    section = Section("guide", facts={"needed": subject.options.guided})
    if not subject.options.guided:
        section.lines.append(f"method {subject.options.method} needs none")
        return section
    with section.collecting():
        subject.guide = guide = guide_of(subject.config, subject.class_names)
        assert guide is not None
        weights, parameters = subject.options.guide_weights, _parameters(guide.transformer)
        shape = " x ".join(map(str, guide.latent_shape))
        section.facts |= {"weights": weights, "parameters": parameters, "input": list(guide.latent_shape)}
        section.lines.append(f"weights {weights}: {counted(parameters, 'parameter')}")
        section.lines.append(f"sees squares of {guide.image_size} pixels, as {shape} numbers")
    return section


def method_section(subject: Subject) -> Section:
    """The update: what learns, and whether it can be made."""
    section = Section("method", facts={"name": subject.options.method})
    classifier, guide, config = subject.classifier, subject.guide, subject.config
    if classifier is None or (subject.options.guided and guide is None):
        section.lines.append("not made, as a model is missing")
        return section
    with section.collecting():
        optimizer = optimizer_of(config, classifier, guide)
        method = method_of(config, classifier, guide, optimizer)
        subject.stateful = stateful_of(classifier, guide, optimizer, method, norm_ema_of(config, classifier))
        learning = sum(parameter.numel() for parameter in method.parameters)
        section.facts["learning_parameters"] = learning
        learns = f"{counted(learning, 'parameter')} learn" if learning else "nothing learns"
        section.lines.append(f"{subject.options.method}: {learns}")
    return section


def memory_section(subject: Subject) -> Section:
    """What the run takes of the memory that there is."""
    section = Section("memory")
    with section.collecting():
        memory = memory_of(subject.config)
        section.facts = {need.where: {"bytes": dict(need.parts), "free": need.free} for need in memory.needs}
        section.lines.append(str(memory).removeprefix("memory: "))
        if not memory.fits:
            section.problems.append(f"this does not fit; {advice(subject.config, memory)}")
    return section


def clean_section(subject: Subject) -> Section:
    """What classifier and guide make of clean images, as before a run's first update."""
    section = Section("clean images")
    if subject.classifier is None or subject.found is None:
        section.lines.append("not measured, as the classifier or the classes cannot be used")
        return section
    with section.collecting():
        result = clean_result_of(subject.config, subject.found.classes, subject.classifier, subject.guide)
        if result is None:
            section.lines.append("not measured, as data.clean_root is null")
        else:
            section.facts = result.describe()
            section.lines.append(str(result).removeprefix("clean images: "))
            result.check(subject.options.clean_minimum)
    return section


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
