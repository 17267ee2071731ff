"""What a family of guides is: whose checkpoints, and what has to be known to use them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from dusa_ignite.models.guides.paths import NoisingPath
from dusa_ignite.models.guides.transformer import DiffusionTransformer


@dataclass(frozen=True)
class Family:
    """A kind of class-conditional guide.

    Attributes:
        name: ``transformer.family`` in the config.
        paths: the noising paths that its checkpoints are made for, by name, the default first; they know its time
            convention and what it predicts, see :mod:`dusa_ignite.models.guides.paths`.
        learns_sigma: whether its output carries a variance, which is dropped.
        dropped: prefixes of parameters that checkpoints hold and the network does not need; all others must match.
        network: builds the network from ``latent_size``, ``in_channels``, ``patch_size``, ``hidden_size``, ``depth``,
            ``num_heads``, ``num_classes`` and ``learn_sigma``, all keywords. It has the methods ``forward(x, t, y)``
            and ``forward_embedded(x, t, embedding)`` and the attributes ``blocks``, ``y_embedder``, ``num_classes`` and
            ``out_channels`` of :class:`dusa_ignite.models.guides.transformer.DiffusionTransformer`.
    """

    name: str
    paths: Mapping[str, NoisingPath]
    learns_sigma: bool
    dropped: tuple[str, ...] = ()
    network: Callable[..., nn.Module] = DiffusionTransformer

    @property
    def default_path(self) -> str:
        """The name of the path that is taken where none is chosen."""
        return next(iter(self.paths))
