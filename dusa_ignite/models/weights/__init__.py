"""Weights from where people have them: one reader for the classifier, the guide and the VAE.

``places`` finds the files, ``kinds`` tells what they are, ``read`` reads them without running anything, ``choose``
finds the weights inside, ``values`` checks them, ``strict`` puts them into the model.
"""

from dusa_ignite.models.weights.load import load_weights
from dusa_ignite.models.weights.places import locate
from dusa_ignite.models.weights.strict import load_strict, save_weights, weights_sha256

__all__ = ["load_strict", "load_weights", "locate", "save_weights", "weights_sha256"]
