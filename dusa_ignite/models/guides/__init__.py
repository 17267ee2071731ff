"""What teaches: a VAE (or none), a noising path, noise levels, and a transformer of one of the families."""

from dusa_ignite.models.guides.guide import Guide
from dusa_ignite.models.guides.load import load_transformer
from dusa_ignite.models.guides.paths import PATHS, NoisingPath
from dusa_ignite.models.guides.times import TIMES, TimeSampler
from dusa_ignite.models.guides.transformer import DiffusionTransformer
from dusa_ignite.models.guides.vae import load_vae

__all__ = [
    "PATHS",
    "TIMES",
    "DiffusionTransformer",
    "Guide",
    "NoisingPath",
    "TimeSampler",
    "load_transformer",
    "load_vae",
]
