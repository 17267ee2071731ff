"""What each method needs, in one table: a change of it is a change of results, or of what is refused."""

from __future__ import annotations

import pytest

from dusa_ignite.methods import METHODS, Method

# trains, guided, source_statistics, smallest_batch, has_teacher
NEEDS = {
    "dusa": ("anything", True, False, 1, False),
    "dusa_u": ("anything", True, False, 1, False),
    "diffusion_tta": ("anything", True, False, 1, False),
    "source": ("nothing", False, True, 1, False),
    "bn": ("nothing", False, True, 1, False),
    "tent": ("norms", False, False, 1, False),
    "shot": ("norms", False, False, 1, False),
    "eata": ("norms", False, False, 1, False),
    "sar": ("early_norms", False, False, 1, False),
    "cotta": ("anything", False, False, 1, True),
    "rotta": ("norms", False, True, 1, True),
    "deyo": ("early_norms", False, False, 1, False),
    "roid": ("norms", False, False, 2, False),
    "lame": ("nothing", False, True, 2, False),
}


@pytest.mark.parametrize("method", METHODS)
def test_needs(method: type[Method]) -> None:
    name = method.Options.model_fields["name"].default
    needs = (method.trains, method.guided, method.source_statistics, method.smallest_batch, method.has_teacher)
    assert needs == NEEDS[name]


def test_all_methods_are_in_the_table() -> None:
    assert [method.Options.model_fields["name"].default for method in METHODS] == list(NEEDS)
