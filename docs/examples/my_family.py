"""A family of guides of your own: checkpoints with another noising path and a head that is of no use here.

transformer: {family: docs/examples/my_family.py:MY_FAMILY, checkpoint: mine.pt, variant: SiT-B/2}
"""

from __future__ import annotations

import math

import torch

from dusa_ignite.models.guides import Family


def circle(x0: torch.Tensor, z: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """From a clean image and noise, (B, C, H, W), to the noised image, what the model predicts, and the model's time.

    Here t (B,), in float64, runs from 0 at the data to 1 at the noise, for every family. These models predict the
    noise, and their own time is in steps, from 0 at the noise to 999 at the data.
    """
    angle = (t * math.pi / 2).to(x0.dtype).view(-1, 1, 1, 1)
    return angle.cos() * x0 + angle.sin() * z, z, 999 * (1 - t)


MY_FAMILY = Family(
    name="my_family",  # counts once the family is part of the package
    paths={"circle": circle},  # by name, the default first; another one is chosen with path.name
    learns_sigma=False,  # true where the output has twice the channels, the second half a variance
    dropped=("alignment.",),  # parameters whose names begin so are left out; all others must match
)
