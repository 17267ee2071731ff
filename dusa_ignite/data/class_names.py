"""The names of classes and their order: read from files, matched with folders, compared with a checkpoint's.

A class can be called by the name of its folder, by its WordNet id or by its human name (ImageNet-1k's: ``n01440764``,
``tench``, ``tench, Tinca tinca``); case, spaces and underscores do not matter.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from dusa_ignite.data.imagenet_names import imagenet_aliases, imagenet_wnids, plain
from dusa_ignite.errors import DataError
from dusa_ignite.utils.paths import expanded
from dusa_ignite.utils.text_files import read_regular

IMAGENET = "imagenet-1k"  # the word for its 1,000 WordNet ids, sorted
MAX_BYTES = 2**26  # of a file with names


def read_class_names(path: str) -> tuple[str, ...]:
    """The class names in a file, in the order of their labels; ``imagenet-1k`` stands for its WordNet ids.

    A text file holds a name per line. A ``.json`` holds a list of names, ``{name: index}`` (torchvision's
    ``class_to_idx``, Hugging Face's ``label2id``), ``{index: name}`` (``id2label``), or one of Hugging Face's
    ``config.json``, which contains these. Where an index has a list, as in Keras's file for ImageNet, its first name
    counts.

    Raises:
        DataError: the file is missing, unreadable or without names, a name is empty or stands there twice, or the
            indices are not 0, 1, 2, ... without a gap.
    """
    if path == IMAGENET:
        return imagenet_wnids()
    file = expanded(path)
    try:
        text = read_regular(file, limit=MAX_BYTES).decode("utf-8-sig")
        if file.suffix.lower() == ".json":
            return checked_names(ordered_names(json.loads(text)))
        return checked_names([line.strip() for line in text.rstrip().splitlines()])
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file; data.classes must be a list, or a file with a name per line") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{file}: cannot read the class names ({error})") from error
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def ordered_names(content: Any) -> list[str]:
    """The names that parsed JSON holds, see :func:`read_class_names`, in the order of their labels.

    Raises:
        ValueError: it holds something else, or indices are missing or stand there twice.
    """
    if isinstance(content, dict) and ("id2label" in content or "label2id" in content):
        content = content.get("id2label") or content.get("label2id")
    if isinstance(content, list) and all(isinstance(name, str) for name in content):
        return content
    if not isinstance(content, dict) or not content:
        raise ValueError("holds no class names; give a list of names, {name: index} or {index: name}")
    if all(isinstance(index, int) and not isinstance(index, bool) for index in content.values()):
        by_index = [(index, name) for name, index in content.items()]
    elif all(is_integer(index) for index in content):
        by_index = [
            (int(index), name[0] if isinstance(name, list) and name else name) for index, name in content.items()
        ]
    else:
        raise ValueError("is neither {name: index} nor {index: name}")
    by_index.sort(key=lambda pair: pair[0])
    for expected, (index, name) in enumerate(by_index):
        if index != expected:
            raise ValueError(f"the indices must be 0 .. {len(by_index) - 1}; {expected} is missing or {index} too much")
        if not isinstance(name, str):
            raise ValueError(f"index {index} has {name!r}, which is no name")
    return [name for _, name in by_index]


def checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """The class names, if they can be labels.

    Raises:
        ValueError: there is none, one is empty, or one stands there twice.
    """
    if not names:
        raise ValueError("names no class")
    first: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name:
            raise ValueError(f"name {number} is empty, but every position is a label")
        if name in first:
            raise ValueError(f"{name!r} is named twice, as number {first[name]} and {number}")
        first[name] = number
    return tuple(names)


def sorted_names(names: Iterable[str]) -> tuple[str, ...]:
    """Distinct names in order: as integers (0, 1, 2, 10) where all of them are, else as text."""
    distinct = set(names)
    if all(is_integer(name) for name in distinct):
        return tuple(sorted(distinct, key=lambda name: (int(name), name)))
    return tuple(sorted(distinct))


def is_integer(name: str) -> bool:
    """Whether a name is written in digits alone."""
    return name.isascii() and name.isdigit() and len(name) < 20


def are_positions(names: Sequence[str]) -> bool:
    """Whether the names are 0, 1, 2, ...: each says its own label."""
    return all(is_integer(name) and int(name) == label for label, name in enumerate(names))


def labels_of(names: Sequence[str], classes: Sequence[str]) -> dict[str, int]:
    """The label of each name that is one of the classes; those that are none are left out.

    A name spelt exactly like a class is that class; then one that differs in case, spaces or underscores only; then
    another name of the same class of ImageNet-1k. Spellings that two classes share decide nothing.
    """
    exact = {name: label for label, name in enumerate(classes)}
    found = {name: exact[name] for name in names if name in exact}
    for spelling in (plain, _wnid):
        rest = [name for name in names if name not in found]
        if not rest:
            break
        spelt = [spelling(name) for name in classes]
        counts = Counter(spelt)
        alike = {text: label for label, text in enumerate(spelt) if text and counts[text] == 1}
        found |= {name: alike[spelling(name)] for name in rest if spelling(name) in alike}
    return found


def differences(names: Sequence[str], others: Sequence[str]) -> list[tuple[int, str, str]]:
    """Where two orders of classes differ: position, name here (or ``-``), name there (or ``-``)."""
    longest = max(len(names), len(others))
    padded = [[*some, *["-"] * (longest - len(some))] for some in (names, others)]
    return [(label, a, b) for label, (a, b) in enumerate(zip(*padded, strict=True)) if not same_class(a, b)]


def same_class(name: str, other: str) -> bool:
    """Whether two names mean the same class."""
    if name == other or plain(name) == plain(other):
        return True
    wnid = _wnid(name)
    return bool(wnid) and wnid == _wnid(other)


def _wnid(name: str) -> str:
    return imagenet_aliases().get(plain(name), "")
