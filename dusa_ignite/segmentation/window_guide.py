"""The guide for windows: as the classifier's guide, but what it is shown is neither cut square nor resized."""

from __future__ import annotations

import torch

from dusa_ignite.models.guides import Guide
from dusa_ignite.models.guides.vae import DOWNSAMPLING
from dusa_ignite.models.views import Images


class WindowGuide(Guide):
    """:class:`dusa_ignite.models.Guide` whose images come at their size: windows, cut by the caller.

    Its ``image_size`` is the window's side; only :attr:`latent_shape` depends on it.
    """

    @torch.no_grad()
    def encode(self, images: Images) -> torch.Tensor:
        """x0 (B, C, H / 8, W / 8) of RGB images (B, 3, H, W) in [0, 1]: the posterior's mean times the factor.

        Without a VAE x0 is the images in [-1, 1] themselves.

        Raises:
            ValueError: they come as a list, or with a VAE no multiple of 8 pixels high and wide.
        """
        if isinstance(images, list):
            raise ValueError("windows must come as one tensor (B, 3, H, W)")
        view = images * 2 - 1
        if self.vae is None:
            return view
        if any(side % DOWNSAMPLING for side in images.shape[-2:]):
            raise ValueError(
                f"windows of {tuple(images.shape[-2:])} pixels; both sides must be multiples of {DOWNSAMPLING}"
            )
        with self._autocast(view.device):
            posterior = self.vae.encode(view).latent_dist
        return posterior.mean.to(view.dtype) * self.scaling_factor
