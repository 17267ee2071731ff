"""DUSA on PyTorch Ignite: a diffusion or flow transformer teaches a classifier while the classifier is being used."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dusa_ignite.config import Config, load_config
    from dusa_ignite.engine import TaskEvents, create_adaptation_engine
    from dusa_ignite.library import Adapter
    from dusa_ignite.methods import Method, Step

try:
    __version__ = version("dusa_ignite")
except PackageNotFoundError:  # used from a source folder that was never installed
    __version__ = "0+unknown"

_HOMES = {  # imported when first used: --help need not wait for torch
    "Adapter": "dusa_ignite.library",
    "Config": "dusa_ignite.config",
    "load_config": "dusa_ignite.config",
    "Method": "dusa_ignite.methods",
    "Step": "dusa_ignite.methods",
    "TaskEvents": "dusa_ignite.engine",
    "create_adaptation_engine": "dusa_ignite.engine",
}
__all__ = [
    "Adapter",
    "Config",
    "Method",
    "Step",
    "TaskEvents",
    "__version__",
    "create_adaptation_engine",
    "load_config",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
