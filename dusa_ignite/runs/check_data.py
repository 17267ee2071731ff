"""A check's look at the data: tasks, images and files, and the classes."""

from __future__ import annotations

import numpy as np

from dusa_ignite.data.files import left_out_line
from dusa_ignite.data.headers import image_files, unreadable_files
from dusa_ignite.data.task import Task, has_label_maps
from dusa_ignite.runs.assemble import arranged, build_stream, score_over_of
from dusa_ignite.runs.assemble_models import classes_of
from dusa_ignite.runs.check_report import SHOWN, Section, counted, some
from dusa_ignite.runs.check_subject import Subject
from dusa_ignite.runs.class_check import FoundData


def data_section(subject: Subject) -> Section:
    """Tasks and images, files that are left out, and files that cannot be read."""
    section = Section("data")
    subject.tasks = tasks = subject.options.survey(section.problems)
    left_out = [path for task in tasks for path in getattr(task.dataset, "left_out", ())]
    images = sum(len(task.dataset) for task in tasks)
    section.facts = {
        "tasks": {task.name: len(task.dataset) for task in tasks},
        "images": images,
        "left_out": {"count": len(left_out), "first": left_out[:SHOWN]},
    }
    if not tasks:
        section.lines.append("no task can be read")
        return section
    names = some([task.name for task in tasks])
    section.lines.append(f"{counted(len(tasks), 'task')} of {counted(images, 'image')} in all: {names}")
    with section.collecting():
        stream = build_stream(subject.config, arranged(subject.config, FoundData(tasks, "", [])).tasks)
        section.facts["updates"] = len(stream)
        section.lines.append(f"a run makes {counted(len(stream), 'update')}")
    if left_out:
        section.lines.append(left_out_line(left_out))
    _read_headers(section, subject)
    return section


def _read_headers(section: Section, subject: Subject) -> None:
    paths = image_files(subject.tasks)
    broken = unreadable_files(paths, threads=subject.options.threads)
    section.facts["files"] = len(paths)
    section.facts["unreadable"] = {"count": len(broken), "first": [file._asdict() for file in broken[:SHOWN]]}
    if not paths:
        section.lines.append("no headers were read, as the images are not in image files")
    elif not broken:
        section.lines.append(f"the headers and ends of all {counted(len(paths), 'image file')} are whole")
    else:
        shown = [f"{file.path}: {file.reason}" for file in broken[:SHOWN]]
        more = [f"and {len(broken) - SHOWN} more"] if len(broken) > SHOWN else []
        what = f"{len(broken)} of {counted(len(paths), 'image file')} cannot be read"
        if subject.options.skips_unreadable:
            section.lines.append("\n".join([f"{what} and will be left out", *shown, *more]))
        else:
            remedy = "mend or remove them, or set data.on_error=skip"
            section.problems.append("\n".join([f"{what}; {remedy}", *shown, *more]))


def classes_section(subject: Subject) -> Section:
    """Which classes there are, whether they are the classifier's, and which of them have no image."""
    section = Section("classes")
    if not subject.tasks:
        section.lines.append("not known, as there is no task")
        return section
    with section.collecting():
        subject.found = classes_of(subject.config, subject.tasks)
        section.lines.append(subject.found.verdict().removeprefix("classes: "))
        section.facts |= {"verified_by": subject.found.verified_by or None}
    if subject.found:
        with section.collecting():
            over = score_over_of(subject.config, arranged(subject.config, subject.found).tasks)
            if over is not None:
                section.lines.append(f"scored over those that the task holds, {over.largest} at most")
    tasks = subject.found.tasks if subject.found else subject.tasks
    if any(has_label_maps(task.dataset) for task in tasks):
        names = list(tasks[0].classes)
        section.facts |= {"count": len(names), "names": names, "without_images": [], "unlabelled_images": 0}
        section.lines.append("images have label maps, which are read, and checked, as the run meets them")
        return section
    counts = _images_by_class(tasks)
    labelled, images = int(counts.sum()), sum(len(task.dataset) for task in tasks)
    empty = [name for name, count in zip(tasks[0].classes, counts.tolist(), strict=True) if not count]
    section.facts |= {
        "count": len(tasks[0].classes),
        "names": list(tasks[0].classes),
        "without_images": empty if labelled else [],
        "unlabelled_images": images - labelled,
    }
    if not labelled:
        section.lines.append("no image has a label: there will be predictions, but no accuracy")
        return section
    if labelled < images:
        section.lines.append(f"{counted(images - labelled, 'image')} without a label")
    if empty:
        section.lines.append(f"{counted(len(empty), 'class')} without an image: {some(empty)}")
    else:
        section.lines.append(f"every class has images, at least {int(counts.min())}")
    return section


def _images_by_class(tasks: list[Task]) -> np.ndarray:
    """(C,) how many images of each class all tasks hold."""
    counts = np.zeros(len(tasks[0].classes), dtype=np.int64)
    for task in tasks:
        labels = np.asarray(task.dataset.labels)
        counts += np.bincount(labels[labels >= 0], minlength=len(counts))[: len(counts)]
    return counts
