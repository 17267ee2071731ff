"""The class-conditional diffusion transformer shared by DiT, SiT and SiT trained with REPA.

The three families are one network under three conventions: DiT (Peebles & Xie 2023, arXiv 2212.09748) and SiT (Ma et
al. 2024, arXiv 2401.08740) also predict a variance, which is dropped here; SiT trained with REPA (Yu et al. 2024,
arXiv 2410.06940) does not. They differ in the meaning of ``t`` too, which :mod:`dusa_ignite.models.guides.paths` takes
care of. Parameter names are those of the published checkpoints.
"""

from __future__ import annotations

import math

import torch
from timm.layers import Mlp
from timm.models.vision_transformer import Attention, PatchEmbed
from torch import nn


class TimestepEmbedder(nn.Module):
    """(N,) times -> (N, hidden) vectors: 256 sinusoids, then a two-layer MLP."""

    def __init__(self, hidden_size: int, frequencies: int = 256) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.mlp = nn.Sequential(nn.Linear(frequencies, hidden_size), nn.SiLU(), nn.Linear(hidden_size, hidden_size))

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        dtype = next(self.mlp.parameters()).dtype
        half = self.frequencies // 2
        rates = torch.exp(-math.log(10000) * torch.arange(half, dtype=dtype, device=t.device) / half)
        angles = t.to(dtype)[:, None] * rates  # (N, half)
        return self.mlp(torch.cat([angles.cos(), angles.sin()], dim=-1))


class LabelEmbedder(nn.Module):
    """(N,) class numbers -> (N, hidden) vectors; row ``num_classes`` stands for no class."""

    def __init__(self, num_classes: int, hidden_size: int) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(num_classes + 1, hidden_size)

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        return self.embedding_table(y)


def modulate(x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """x (N, T, D) scaled and shifted per sample by (N, D) vectors."""
    return x * (1 + scale[:, None]) + shift[:, None]


class Block(nn.Module):
    """Attention and MLP, each modulated and gated by the conditioning vector (adaLN-Zero)."""

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden_size, elementwise_affine=False, eps=1e-6)
        self.attn = Attention(hidden_size, num_heads=num_heads, qkv_bias=True)
        self.norm2 = nn.LayerNorm(hidden_size, elementwise_affine=False, eps=1e-6)
        self.mlp = Mlp(hidden_size, 4 * hidden_size, act_layer=_gelu_tanh)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(hidden_size, 6 * hidden_size))

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaLN_modulation(c).chunk(6, dim=1)
        x = x + gate1[:, None] * self.attn(modulate(self.norm1(x), shift1, scale1))
        return x + gate2[:, None] * self.mlp(modulate(self.norm2(x), shift2, scale2))


class FinalLayer(nn.Module):
    """Tokens (N, T, D) -> patch pixels (N, T, patch * patch * channels)."""

    def __init__(self, hidden_size: int, patch_size: int, out_channels: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(hidden_size, elementwise_affine=False, eps=1e-6)
        self.linear = nn.Linear(hidden_size, patch_size * patch_size * out_channels)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(hidden_size, 2 * hidden_size))

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        shift, scale = self.adaLN_modulation(c).chunk(2, dim=1)
        return self.linear(modulate(self.norm_final(x), shift, scale))


class DiffusionTransformer(nn.Module):
    """Predicts noise or velocity from a noised image or latent, a time and a class.

    Args:
        latent_size: side of the square input, in latent (or pixel) units.
        in_channels: channels C of the input; as many are returned.
        patch_size: side of a token's patch, in the same units; divides ``latent_size``.
        hidden_size: channels of a token; a multiple of 4 and of ``num_heads``.
        depth: blocks.
        num_heads: attention heads of a block.
        num_classes: classes, without the unconditional one.
        learn_sigma: whether the final layer also holds C variance channels, which the output drops.
    """

    def __init__(
        self,
        *,
        latent_size: int,
        in_channels: int,
        patch_size: int,
        hidden_size: int,
        depth: int,
        num_heads: int,
        num_classes: int,
        learn_sigma: bool,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = 2 * in_channels if learn_sigma else in_channels
        self.patch_size = patch_size
        self.num_classes = num_classes
        self.x_embedder = PatchEmbed(latent_size, patch_size, in_channels, hidden_size)
        self.t_embedder = TimestepEmbedder(hidden_size)
        self.y_embedder = LabelEmbedder(num_classes, hidden_size)
        grid = latent_size // patch_size
        self.pos_embed = nn.Parameter(sincos_positions(grid, hidden_size)[None], requires_grad=False)  # (1, T, D)
        self.blocks = nn.ModuleList(Block(hidden_size, num_heads) for _ in range(depth))
        self.final_layer = FinalLayer(hidden_size, patch_size, self.out_channels)
        initialise(self)

    def forward(self, x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Predict.

        Args:
            x: (N, C, H, W) noised input.
            t: (N,) time in the family's own convention.
            y: (N,) int64 classes; ``num_classes`` = unconditional.

        Returns:
            (N, C, H, W) prediction; a learned variance is dropped.
        """
        return self.forward_embedded(x, t, self.y_embedder(y))

    def forward_embedded(self, x: torch.Tensor, t: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """As :meth:`forward`, for any vectors (N, hidden) in the place of the classes' embeddings."""
        tokens = self.x_embedder(x) + self.pos_embed  # (N, T, D)
        c = self.t_embedder(t) + embedding  # (N, D)
        for block in self.blocks:
            tokens = block(tokens, c)
        patches = self.final_layer(tokens, c)  # (N, T, p * p * out)
        return self.unpatchify(patches)[:, : self.in_channels]

    def unpatchify(self, patches: torch.Tensor) -> torch.Tensor:
        """(N, T, p * p * out) -> (N, out, H, W); T is a square number."""
        n, tokens, _ = patches.shape
        p, side = self.patch_size, math.isqrt(tokens)
        pixels = patches.reshape(n, side, side, p, p, self.out_channels)
        return pixels.permute(0, 5, 1, 3, 2, 4).reshape(n, self.out_channels, side * p, side * p)


def _gelu_tanh() -> nn.Module:
    return nn.GELU(approximate="tanh")


def sincos_positions(grid: int, dim: int) -> torch.Tensor:
    """(grid * grid, dim) fixed two-dimensional sine-cosine positions: the column's half first, then the row's."""
    rates = 10000.0 ** -(torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    angles = torch.arange(grid, dtype=torch.float64)[:, None] * rates
    line = torch.cat([angles.sin(), angles.cos()], dim=1)  # (grid, dim / 2)
    columns, rows = line.repeat(grid, 1), line.repeat_interleave(grid, dim=0)
    return torch.cat([columns, rows], dim=1).float()


def initialise(model: DiffusionTransformer) -> None:
    """The published initialisation: Xavier layers, and adaLN gates and the output at zero (DiT paper, section 3.2)."""
    zero = {model.final_layer.linear}
    for module in model.modules():
        if isinstance(module, Block | FinalLayer):
            zero.add(module.adaLN_modulation[1])  # type: ignore[arg-type]
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
            nn.init.zeros_(module.weight) if module in zero else nn.init.xavier_uniform_(module.weight)
    patch = model.x_embedder.proj
    nn.init.xavier_uniform_(patch.weight.flatten(1))
    nn.init.zeros_(patch.bias)
    for embedder in (model.y_embedder, model.t_embedder):
        for name, parameter in embedder.named_parameters():
            if name.endswith("weight"):
                nn.init.normal_(parameter, std=0.02)
