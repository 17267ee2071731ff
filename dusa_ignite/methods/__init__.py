"""Adaptation methods: each a factory that returns ``update(engine, batch) -> output``."""

from collections.abc import Callable

from dusa_ignite.methods.bn import bn
from dusa_ignite.methods.cotta import CottaMemory, cotta
from dusa_ignite.methods.deyo import deyo
from dusa_ignite.methods.diffusion_tta import diffusion_tta
from dusa_ignite.methods.dusa import dusa
from dusa_ignite.methods.dusa_u import dusa_u
from dusa_ignite.methods.eata import EataMemory, eata
from dusa_ignite.methods.lame import lame
from dusa_ignite.methods.roid import RoidMemory, roid
from dusa_ignite.methods.rotta import RottaMemory, rotta
from dusa_ignite.methods.sar import SarMemory, sar
from dusa_ignite.methods.source import source
from dusa_ignite.methods.step import Update
from dusa_ignite.methods.tent import tent

METHODS: dict[str, Callable[..., Update]] = {
    "source": source,
    "bn": bn,
    "tent": tent,
    "eata": eata,
    "sar": sar,
    "cotta": cotta,
    "rotta": rotta,
    "deyo": deyo,
    "roid": roid,
    "lame": lame,
    "diffusion_tta": diffusion_tta,
    "dusa_u": dusa_u,
    "dusa": dusa,
}
MEMORIES = {  # what a method remembers between updates, made from the source classifier
    "eata": EataMemory,
    "sar": SarMemory,
    "cotta": CottaMemory,
    "rotta": RottaMemory,
    "roid": RoidMemory,
}

__all__ = ["MEMORIES", "METHODS", "Update", "dusa", "source"]
