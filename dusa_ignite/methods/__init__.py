"""Adaptation methods, a file each. A further one: its file, and its class in ``METHODS``."""

from dusa_ignite.methods.base import Method, Step
from dusa_ignite.methods.bn import Bn
from dusa_ignite.methods.cotta import Cotta
from dusa_ignite.methods.deyo import Deyo
from dusa_ignite.methods.diffusion_tta import DiffusionTta
from dusa_ignite.methods.dusa import Dusa
from dusa_ignite.methods.dusa_u import DusaU
from dusa_ignite.methods.eata import Eata
from dusa_ignite.methods.lame import Lame
from dusa_ignite.methods.pixel_cotta import PixelCotta
from dusa_ignite.methods.roid import Roid
from dusa_ignite.methods.rotta import Rotta
from dusa_ignite.methods.sar import Sar
from dusa_ignite.methods.shot import Shot
from dusa_ignite.methods.source import Source
from dusa_ignite.methods.tent import Tent
from dusa_ignite.methods.window_dusa import WindowDusa

METHODS: tuple[type[Method], ...] = (
    Dusa,
    DusaU,
    DiffusionTta,
    Source,
    Bn,
    Tent,
    Shot,
    Eata,
    Sar,
    Cotta,
    Rotta,
    Deyo,
    Roid,
    Lame,
    WindowDusa,
    PixelCotta,
)

__all__ = ["METHODS", "Method", "Step"]
