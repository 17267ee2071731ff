"""Which layers are normalisation layers: their class decides, never their name."""

from __future__ import annotations

from timm import layers
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from dusa_ignite.errors import ConfigError

_TIMM_RMS_NORMS = ("RmsNorm", "RmsNormFp32", "RmsNorm2d", "RmsNorm2dFp32")
_TIMM_SIMPLE_NORMS = ("SimpleNorm", "SimpleNormFp32", "SimpleNorm2d", "SimpleNorm2dFp32")
NORM_LAYERS: tuple[type[nn.Module], ...] = (
    _BatchNorm,  # timm's BatchNormAct2d is a subclass
    nn.LayerNorm,  # timm's LayerNorm2d too
    nn.GroupNorm,  # timm's GroupNorm1 too
    _InstanceNorm,
    nn.RMSNorm,
    *(getattr(layers, name) for name in _TIMM_RMS_NORMS + _TIMM_SIMPLE_NORMS if hasattr(layers, name)),
)


def norm_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The affine parameters of all normalisation layers, by their names in ``model``; the layer's class decides."""
    return {
        f"{name}.{own}" if name else own: parameter
        for name, module in model.named_modules()
        if isinstance(module, NORM_LAYERS)
        for own, parameter in module.named_parameters(recurse=False)
    }


def set_trainable(classifier: nn.Module, trainable: str) -> None:
    """Let ``all`` parameters, those of ``norm`` layers, or ``none`` receive gradients.

    Raises:
        ConfigError: ``norm``, but there is no such layer.
        ValueError: another word.
    """
    if trainable not in ("all", "norm", "none"):
        raise ValueError(f"trainable must be all, norm or none, not {trainable!r}")
    classifier.requires_grad_(trainable == "all")
    if trainable == "norm":
        norms = norm_parameters(classifier)
        if not norms:
            raise ConfigError("classifier.trainable: norm, but the model has no norm layer with affine parameters")
        for parameter in norms.values():
            parameter.requires_grad_(True)
