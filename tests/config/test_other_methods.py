"""The options of the compared methods: the same names and defaults in the config as in the factories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dusa_ignite.config.other_methods import Cotta, DiffusionTta, DusaU, Lame, Roid, Rotta
from dusa_ignite.config.types import Section
from dusa_ignite.methods.cotta import cotta
from dusa_ignite.methods.diffusion_tta import diffusion_tta
from dusa_ignite.methods.dusa_u import dusa_u
from dusa_ignite.methods.lame import lame
from dusa_ignite.methods.roid import roid
from dusa_ignite.methods.rotta import rotta


@pytest.mark.parametrize(
    ("section", "factory"),
    [(Cotta, cotta), (Rotta, rotta), (Roid, roid), (Lame, lame), (DiffusionTta, diffusion_tta), (DusaU, dusa_u)],
)
def test_defaults(section: type[Section], factory: Callable[..., Any]) -> None:
    options: dict[str, Any] = section(name=factory.__name__).model_dump()  # type: ignore[call-arg]
    options |= options.pop("loss", {})
    assert options.pop("name") == factory.__name__
    defaults = {name: value for name, value in factory.__kwdefaults__.items() if name != "scaler"}
    assert options == defaults
