"""A classifier of your own: a function that builds any torch module.

classifier: {name: docs/examples/my_classifier.py:build, num_classes: 10, options: {width: 32, weights: mine.pt}}
"""

from __future__ import annotations

import torch
from torch import nn


class SmallNet(nn.Module):
    """Two convolutions with group norms and a linear layer: logits (B, num_classes) of images (B, 3, H, W)."""

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            nn.GroupNorm(4, width),
            nn.GELU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.GroupNorm(4, width),
            nn.GELU(),
        )
        self.head = nn.Linear(width, num_classes)
        # How the images are to be prepared; timm's models have the same attribute. These three must be there, and
        # crop_pct (default 0.875), crop_mode ("center") and interpolation ("bicubic") may be.
        self.pretrained_cfg = {
            "input_size": (3, 32, 32),
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
            "crop_pct": 1.0,
        }

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The images are cropped, resized and normalised already."""
        return self.forward_head(self.forward_features(images))

    # Only methods that look at features, such as lame, need these two, which timm's models have.

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        """The last feature map (B, width, H / 2, W / 2)."""
        return self.features(images)

    def forward_head(self, maps: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Logits of it, or what the last layer sees."""
        pooled = maps.mean(dim=(2, 3))
        return pooled if pre_logits else self.head(pooled)


def build(num_classes: int = 10, width: int = 16, weights: str | None = None) -> nn.Module:
    """What ``classifier.name`` refers to; it gets ``classifier.options`` as keyword arguments.

    It loads its weights itself; or leave that to ``classifier.checkpoint``, a file with the module's state_dict.
    """
    model = SmallNet(num_classes, width)
    if weights is not None:
        model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return model
