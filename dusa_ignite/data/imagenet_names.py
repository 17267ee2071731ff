"""The 1,000 classes of ImageNet-1k: their WordNet ids, and the names that people call them by."""

from __future__ import annotations

from collections import Counter
from functools import cache


@cache
def imagenet_wnids() -> tuple[str, ...]:
    """The 1,000 WordNet ids of ImageNet-1k, sorted; the position is the label."""
    from timm.data import ImageNetInfo  # needed here only: a config is checked without it

    return tuple(ImageNetInfo().label_names())


@cache
def imagenet_aliases() -> dict[str, str]:
    """WordNet id by every name that means one class alone: the id itself, the list of synonyms, each synonym.

    Names are as :func:`plain` makes them. ``crane`` is a bird and a machine, so it is not among them.
    """
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    known: dict[str, str] = {}
    for split in (lambda text: text.split(","), lambda text: [text]):  # whole lists of synonyms go before single ones
        names = [
            (plain(name), wnid) for wnid in imagenet_wnids() for name in split(info.label_name_to_description(wnid))
        ]
        counts = Counter(name for name, _ in set(names))
        known |= {name: wnid for name, wnid in names if counts[name] == 1}
    return known | {wnid: wnid for wnid in imagenet_wnids()}


def plain(name: str) -> str:
    """A name without what differs between spellings: case, and spaces or underscores."""
    return " ".join(name.casefold().replace("_", " ").split())
