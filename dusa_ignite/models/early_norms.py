"""The norm layers before a classifier's last layers, which SAR and DeYO let learn."""

from __future__ import annotations

from torch import nn

from dusa_ignite.errors import ConfigError
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.norms import norm_parameters

LAST_BLOCKS = 3  # of a transformer, left out


def early_norm_parameters(classifier: Classifier) -> dict[str, nn.Parameter]:
    """The affine parameters of all norm layers but those of the last layers, which are sensitive, by name.

    Left out are the last stage of a ResNet (``layer4``) or another convolutional model (ConvNeXt), the last three
    blocks of a transformer, and everything behind, such as the final norm: the choice of the authors of SAR (arXiv
    2302.12400) and DeYO (arXiv 2403.07366). Modules are told apart by what and where they are: a ViT's final norm is
    called ``norm``, which is part of other layers' names.

    Args:
        classifier: stays as it is.

    Returns:
        At least one parameter, by its name in the classifier.

    Raises:
        ConfigError: it is unknown which the model's last layers are, or nothing is left.
    """
    backbone = classifier.backbone
    modules = list(backbone.modules())  # in the order of their definition, which in timm is that of the forward pass
    first = next(index for index, module in enumerate(modules) if module is _first_left_out(backbone))
    left_out = {id(parameter) for module in modules[first:] for parameter in module.parameters()}
    chosen = {name: p for name, p in norm_parameters(classifier).items() if id(p) not in left_out}
    if not chosen:
        raise ConfigError(
            f"classifier.name: {type(backbone).__name__} has no norm layer before its last layers, which "
            f"method.name=sar and method.name=deyo leave out; take another classifier, or method.name=tent"
        )
    return chosen


def _first_left_out(backbone: nn.Module) -> nn.Module:
    children = dict(backbone.named_children())
    if "layer4" in children:
        return children["layer4"]
    for name in ("stages", "blocks"):
        layers = list(children[name].children()) if name in children else []
        if layers:
            is_transformer = name == "blocks" and not isinstance(layers[-1], nn.Sequential)
            return layers[-LAST_BLOCKS:][0] if is_transformer else layers[-1]
    raise ConfigError(
        f"classifier.name: of {type(backbone).__name__} it is unknown which are the last layers, which method.name=sar "
        f"and method.name=deyo leave out; take a ResNet, ConvNeXt or vision transformer, or method.name=tent"
    )
