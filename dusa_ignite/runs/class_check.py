"""Are the data's classes, and their order, those that the classifier was trained on?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from dusa_ignite.data import Task
from dusa_ignite.data.class_names import are_positions, differences
from dusa_ignite.data.files import left_out_line
from dusa_ignite.errors import ConfigError


class FoundData(NamedTuple):
    """The tasks, and what is known of them.

    Attributes:
        tasks: all with the same classes.
        verified_by: what says that their order is the classifier's; empty where nothing does.
        left_out: paths of files that are no images by their names.
        named: whether somebody names the classes; else their names are their numbers.
    """

    tasks: list[Task]
    verified_by: str
    left_out: list[str]
    named: bool = True

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of their labels; empty where nobody names them."""
        return self.tasks[0].classes if self.named else ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names, in the order of the labels."""
        return self.tasks[0].classes

    def describe(self) -> dict[str, Any]:
        """For run.json."""
        classes = {"names": list(self.classes), "verified_by": self.verified_by or None}
        return {"classes": classes, "left_out": len(self.left_out)}

    def notes(self) -> list[str]:
        """Lines for the log."""
        return [*([left_out_line(self.left_out)] if self.left_out else []), self.verdict()]

    def verdict(self) -> str:
        """How many classes there are, in which order, and what says so."""
        shown = [f"{label} = {name}" for label, name in enumerate(self.classes)]
        order = ", ".join(shown if len(shown) <= 4 else [*shown[:3], "...", shown[-1]])
        if self.verified_by:
            return f"classes: {len(shown)} ({order}), in the order of {self.verified_by}"
        return (
            f"classes: {len(shown)}, taken in the order {order}; nothing says that the classifier was trained on this "
            "order: compare it, and set data.classes where it differs"
        )


def check_classes(
    tasks: Sequence[Task],
    *,
    num_classes: int,
    data: str,
    from_folders: bool,
    known: Sequence[str],
    source: str,
) -> FoundData:
    """The tasks with the names of their classes, and what says that these are in the classifier's order.

    A difference in order or content is never passed over. Tasks whose classes nothing names (their images have no
    labels) get the classifier's own names, or numbers.

    Args:
        tasks: all with the same classes.
        num_classes: of the classifier.
        data: the data set's name, for error messages.
        from_folders: whether the names are those of the folders that were found.
        known: the names that the classifier's weights carry, in their order; empty = none.
        source: where these stand, for messages.

    Raises:
        ConfigError: the number, the names or their order differ; the first three are shown.
    """
    names = tasks[0].classes
    left_out = _left_out(tasks)
    if not names:
        names = tuple(known) or tuple(map(str, range(num_classes)))
        by = source if known else "the classifier's outputs, as no image has a label"
        return FoundData([replace(task, classes=names) for task in tasks], by, left_out, named=bool(known))
    if len(names) != num_classes:
        raise ConfigError(f"classifier.num_classes: {num_classes}, but {_what_there_is(names, data, from_folders)}")
    different = differences(names, known) if known else []
    if different:
        raise ConfigError(
            f"data.classes: {len(different)} of {len(names)} classes differ from those that the classifier was trained "
            f"on, by {source}: {_first(different)}; give the classifier's order as data.classes (a list, a file, "
            "its config.json)"
        )
    verified_by = source if known else "their numbers" if are_positions(names) else ""
    return FoundData(list(tasks), verified_by, left_out)


def check_segmenter_classes(tasks: Sequence[Task], *, num_classes: int, known: Sequence[str], source: str) -> FoundData:
    """As :func:`check_classes`, for names of which both sides have their own: ADE20K's differ between distributions.

    A class that is called otherwise is told of; one that stands at another place, or a list with hardly a name in
    common, is an error.

    Args:
        tasks: all with the same classes.
        num_classes: of the segmenter.
        known: the names that the segmenter's folder carries, in their order; empty = none.
        source: where these stand, for messages.

    Raises:
        ConfigError: the number or the order differ.
    """
    names = tasks[0].classes
    left_out = _left_out(tasks)
    if len(names) != num_classes:
        raise ConfigError(f"classifier.num_classes: {num_classes}, but the data have {len(names)}; they must agree")
    different = differences(names, known) if known else []
    at_home = set(names) - {ours for _, ours, _ in different}
    moved = [entry for entry in different if entry[2] in names and entry[2] not in at_home]
    if moved or 2 * len(different) > len(names):
        raise ConfigError(
            f"data.classes: {len(moved or different)} of {len(names)} classes differ from those that the segmenter was "
            f"trained on, by {source}: {_first(moved or different)}; both need the same classes in the same order"
        )
    verified_by = source + (f", which calls {len(different)} of them otherwise" if different else "") if known else ""
    return FoundData(list(tasks), verified_by, left_out)


def check_guide(names: Sequence[str], known: Sequence[str], *, checkpoint: str) -> None:
    """A guide that knows its classes by name must have those of the data, in their order.

    Args:
        names: of the data, in the order of the labels; empty = nobody names them.
        known: of the guide; empty = its file does not say.
        checkpoint: of the guide, for the message.

    Raises:
        ConfigError: they differ; the first three are shown.
    """
    different = differences(names, known) if names and known else []
    if different:
        raise ConfigError(
            f"transformer.checkpoint: {len(different)} of {len(names)} classes differ from those that {checkpoint} was "
            f"trained on: {_first(different)}; guide, classifier and data need the same classes in the same order"
        )


def _left_out(tasks: Sequence[Task]) -> list[str]:
    return [path for task in tasks for path in getattr(task.dataset, "left_out", ())]


def _first(different: Sequence[tuple[int, str, str]]) -> str:
    """The first three classes that differ."""
    return "; ".join(f"{label} is {ours!r} in the data, {theirs!r} there" for label, ours, theirs in different[:3])


def _what_there_is(names: Sequence[str], data: str, from_folders: bool) -> str:
    if not from_folders:
        return f"data {data} has {len(names)}; they must agree"
    shown = ", ".join(names[:3]) + ", ..." * (len(names) > 3)
    return (
        f"data {data} has {len(names)}: as data.classes is null, its folders ({shown}) were taken for classes. Where "
        "they are tasks of unlabelled images, or where classes have no folder here, name all of the classifier's "
        "classes: data.classes=<list, file or imagenet-1k>"
    )
