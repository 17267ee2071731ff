"""Families of guides, a file each. A further one: its file, and its constant in ``FAMILIES``."""

from dusa_ignite.models.guides.families.dit import DIT
from dusa_ignite.models.guides.families.family import Family
from dusa_ignite.models.guides.families.repa import REPA
from dusa_ignite.models.guides.families.sit import SIT
from dusa_ignite.utils.own_parts import is_reference, load_part

FAMILIES: tuple[Family, ...] = (
    REPA,
    SIT,
    DIT,
)


def find_family(name: str) -> Family:
    """A family by its name, or one of the user's own by a reference, ``path/to/file.py:NAME``.

    Raises:
        ConfigError: the reference leads nowhere.
        ValueError: there is no such family.
    """
    if is_reference(name):
        family = load_part(name, key="transformer.family")
        if not isinstance(family, Family):
            raise ValueError(f"{name} is a {type(family).__name__}, not a dusa_ignite.models.guides.Family")
        return family
    by_name = {family.name: family for family in FAMILIES}
    if name not in by_name:
        raise ValueError(f"{name!r} is not allowed; allowed: {' | '.join(by_name)}, or path/to/file.py:NAME")
    return by_name[name]


__all__ = ["FAMILIES", "Family", "find_family"]
