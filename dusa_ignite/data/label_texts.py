"""Labels that stand in files as text: numbers, or names of classes."""

from __future__ import annotations

from collections.abc import Iterable

from dusa_ignite.data.class_names import is_integer, labels_of, sorted_names

UNKNOWN = frozenset({"", "-1"})
"""Texts of a label that is not known."""

LARGEST = 10**6  # of a label; there is no data set with so many classes


def labels_by_text(texts: Iterable[str], classes: tuple[str, ...] | None) -> tuple[dict[str, int], tuple[str, ...]]:
    """The label of each text, -1 for those of :data:`UNKNOWN`, and the names of the classes in order.

    Without ``classes``, texts that are all integers are the labels themselves, of the classes 0, 1, .. up to the
    largest; others are names, sorted. With ``classes``, a text is the name of a class, in any spelling that
    :func:`dusa_ignite.data.class_names.labels_of` knows, else its position. Where a name is itself a number that is not
    its position, texts are names alone: of the classes 1, 2, 3 the text 1 cannot be both the first and the second.

    Args:
        texts: of all labels.
        classes: names in the order of the labels; ``None`` = those that are found.

    Returns:
        Texts that no class maps to are left out of the first; the second is empty where no label is known.
    """
    distinct = list(dict.fromkeys(texts))
    known = [text for text in distinct if text not in UNKNOWN]
    if classes is None and known and all(map(is_integer, known)):
        numbers = {text: int(text) for text in known if int(text) < LARGEST}
        found, classes = numbers, tuple(map(str, range(max(numbers.values(), default=-1) + 1)))
    else:
        classes = sorted_names(known) if classes is None else classes
        numbers = {text: int(text) for text in known if is_integer(text) and int(text) < len(classes)}
        positions = numbers if _can_be_positions(classes) else {}
        found = positions | labels_of(known, classes)
    return found | {text: -1 for text in distinct if text in UNKNOWN}, classes


def not_a_label(text: str, classes: tuple[str, ...]) -> str:
    """What to say of a text that no class maps to."""
    shown = ", ".join(classes[:3]) + ", ..." * (len(classes) > 3)
    rest = ", nor a position among them" if _can_be_positions(classes) else "; as these are numbers, it must be one"
    return f"the label {text[:80]!r} is none of the {len(classes)} classes ({shown}){rest}"


def _can_be_positions(classes: tuple[str, ...]) -> bool:
    """Whether a number can be told from a name: each name that is one is its own position."""
    return all(int(name) == label for label, name in enumerate(classes) if is_integer(name))
