"""What teaches: a VAE (or none), a noising path, noise levels, and a transformer of one of the families."""

from dusa_ignite.models.guides.families import FAMILIES, Family, find_family
from dusa_ignite.models.guides.guide import Guide
from dusa_ignite.models.guides.load import TransformerOptions, load_transformer
from dusa_ignite.models.guides.paths import NoisingPath, PathOptions
from dusa_ignite.models.guides.times import TIMES, TimeSampler
from dusa_ignite.models.guides.transformer import DiffusionTransformer
from dusa_ignite.models.guides.vae import VaeOptions, load_vae

__all__ = [
    "FAMILIES",
    "TIMES",
    "DiffusionTransformer",
    "Family",
    "Guide",
    "NoisingPath",
    "PathOptions",
    "TimeSampler",
    "TransformerOptions",
    "VaeOptions",
    "find_family",
    "load_transformer",
    "load_vae",
]
