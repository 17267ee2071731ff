"""The classifier that is adapted and the generative transformer that guides it."""

from dusa_ignite.models.build import build_classifier
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.guides import DiffusionTransformer, Guide, load_transformer, load_vae
from dusa_ignite.models.view import View, declared_view

__all__ = [
    "Classifier",
    "DiffusionTransformer",
    "Guide",
    "View",
    "build_classifier",
    "declared_view",
    "load_transformer",
    "load_vae",
]
