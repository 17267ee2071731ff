"""The guide: a VAE (or none), a noising path and a transformer, joined."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from dusa_ignite.models.guides.paths import NoisingPath
from dusa_ignite.models.guides.vae import DOWNSAMPLING, LATENT_CHANNELS, PIXEL_CHANNELS
from dusa_ignite.models.views import Images, guide_view

if TYPE_CHECKING:
    from diffusers import AutoencoderKL


class Guide(nn.Module):
    """Turns images into clean latents, noises them, and predicts for candidate classes.

    Args:
        transformer: predicts from a noised latent, a time and a class.
        path: see :mod:`dusa_ignite.models.guides.paths`.
        image_size: side in pixels of the square that the guide sees.
        vae: encodes it to latents at an eighth of the side; ``None`` = the transformer works on pixels.
        scaling_factor: multiplies the latents.
        autocast_dtype: run VAE and transformer in this half precision; ``None`` = in their own.
    """

    columns: torch.Tensor | None

    def __init__(
        self,
        transformer: nn.Module,
        *,
        path: NoisingPath,
        image_size: int,
        vae: AutoencoderKL | None = None,
        scaling_factor: float = 1.0,
        autocast_dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.path = path
        self.image_size = image_size
        self.vae = vae
        self.scaling_factor = scaling_factor
        self.autocast_dtype = autocast_dtype
        self.register_buffer("columns", None, persistent=False)

    def restrict_to(self, columns: torch.Tensor) -> None:
        """From now on the caller's class k is the transformer's class ``columns[k]``.

        Args:
            columns: (K,) int64, those of :meth:`dusa_ignite.models.Classifier.restrict_to`.
        """
        self.columns = columns.to(next(self.transformer.parameters()).device)

    @property
    def is_sharded(self) -> bool:
        """Whether the transformer is spread over several processes."""
        return isinstance(self.transformer, FSDPModule)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of what :meth:`encode` returns for an image."""
        if self.vae is None:
            return PIXEL_CHANNELS, self.image_size, self.image_size
        return LATENT_CHANNELS, self.image_size // DOWNSAMPLING, self.image_size // DOWNSAMPLING

    @torch.no_grad()
    def encode(self, images: Images) -> torch.Tensor:
        """x0 (B, C, H, W) of RGB images in [0, 1]: the posterior's mean times the factor, or pixels in [-1, 1]."""
        view = guide_view(images, size=self.image_size)
        if self.vae is None:
            return view
        with self._autocast(view.device):
            posterior = self.vae.encode(view).latent_dist
        return posterior.mean.to(view.dtype) * self.scaling_factor

    def predict(self, x_t: torch.Tensor, model_time: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """One prediction per candidate class.

        Args:
            x_t: (B, C, H, W) noised input.
            model_time: (B,) time in the family's own convention, as the path returns it.
            classes: (B, K) int64.

        Returns:
            (B, K, C, H, W), in the dtype of ``x_t``.
        """
        return self._predict(x_t, model_time, classes if self.columns is None else self.columns[classes])

    def _predict(self, x_t: torch.Tensor, model_time: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        batch, candidates = classes.shape
        with self._autocast(x_t.device):
            predicted = self.transformer(
                x_t.repeat_interleave(candidates, dim=0), model_time.repeat_interleave(candidates), classes.flatten()
            )
        return predicted.to(x_t.dtype).unflatten(0, (batch, candidates))

    def predict_unconditional(self, x_t: torch.Tensor, model_time: torch.Tensor) -> torch.Tensor:
        """One prediction per image (B, C, H, W), without a class; arguments as for :meth:`predict`."""
        no_class = torch.full((len(x_t), 1), int(self.transformer.num_classes), device=x_t.device)  # type: ignore[arg-type]
        return self._predict(x_t, model_time, no_class).squeeze(1)

    def predict_embedded(self, x_t: torch.Tensor, model_time: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """One prediction per image (B, C, H, W), for vectors (B, D) in the place of class embeddings."""
        with self._autocast(x_t.device):
            predicted = self.transformer.forward_embedded(x_t, model_time, embedding)  # type: ignore[operator]
        return predicted.to(x_t.dtype)

    def class_embeddings(self) -> torch.Tensor:
        """The transformer's embeddings of the classes (num_classes, D), without the unconditional one."""
        table = self.transformer.y_embedder.embedding_table.weight  # type: ignore[union-attr]
        whole: torch.Tensor = table.full_tensor() if isinstance(table, DTensor) else table  # type: ignore[assignment]
        return whole[:-1] if self.columns is None else whole[self.columns]

    def weights_cast_once(self, device: torch.device) -> AbstractContextManager:
        """Within this context a weight that autocast brings to half precision stays cast; it must not change meanwhile.

        Those of a sharded transformer are cast in every pass all the same: their gradients are collected as soon as a
        block's backward pass ends, and a cast from an earlier pass would come too late.
        """
        if self.is_sharded:
            return nullcontext()
        return torch.autocast(device.type, enabled=False)  # the outermost context owns the casts of those within

    def _autocast(self, device: torch.device) -> AbstractContextManager:
        return torch.autocast(
            device.type,
            dtype=self.autocast_dtype,
            enabled=self.autocast_dtype is not None,
            cache_enabled=torch.is_grad_enabled(),  # a weight that was cast without a graph is of no use with one
        )
