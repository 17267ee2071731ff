"""DUSA on PyTorch Ignite: a diffusion or flow transformer teaches a classifier while the classifier is being used."""

from importlib.metadata import PackageNotFoundError, version

from dusa_ignite.config import Config, load_config

try:
    __version__ = version("dusa_ignite")
except PackageNotFoundError:  # used from a source folder that was never installed
    __version__ = "0+unknown"

__all__ = ["Config", "__version__", "load_config"]
