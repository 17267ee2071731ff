"""What each method needs, in one table: a change of it is a change of results, or of what is refused."""

from __future__ import annotations

import pytest

from dusa_ignite.methods import METHODS, Method

# trains, guided, source_statistics, smallest_batch, has_teacher, problems
IMAGES, PIXELS, BOTH = ("classification",), ("segmentation",), ("classification", "segmentation")
NEEDS = {
    "dusa": ("anything", True, False, 1, False, IMAGES),
    "dusa_u": ("anything", True, False, 1, False, IMAGES),
    "diffusion_tta": ("anything", True, False, 1, False, IMAGES),
    "source": ("nothing", False, True, 1, False, BOTH),
    "bn": ("nothing", False, True, 1, False, BOTH),
    "tent": ("norms", False, False, 1, False, BOTH),
    "shot": ("norms", False, False, 1, False, IMAGES),
    "eata": ("norms", False, False, 1, False, BOTH),
    "sar": ("early_norms", False, False, 1, False, BOTH),
    "cotta": ("anything", False, False, 1, True, IMAGES),
    "rotta": ("norms", False, True, 1, True, IMAGES),
    "deyo": ("early_norms", False, False, 1, False, IMAGES),
    "roid": ("norms", False, False, 2, False, IMAGES),
    "lame": ("nothing", False, True, 2, False, IMAGES),
    "window_dusa": ("anything", True, False, 1, False, PIXELS),
    "pixel_cotta": ("anything", False, False, 1, True, PIXELS),
}


@pytest.mark.parametrize("method", METHODS)
def test_needs(method: type[Method]) -> None:
    name = method.Options.model_fields["name"].default
    needs = (method.trains, method.guided, method.source_statistics, method.smallest_batch, method.has_teacher)
    needs = (*needs, method.problems)
    assert needs == NEEDS[name]


def test_all_methods_are_in_the_table() -> None:
    assert [method.Options.model_fields["name"].default for method in METHODS] == list(NEEDS)
