"""Sizes of the published guides."""

from __future__ import annotations

SIZES = {  # name: (hidden_size, depth, num_heads); DiT paper, table 1
    "S": (384, 12, 6),
    "B": (768, 12, 12),
    "L": (1024, 24, 16),
    "XL": (1152, 28, 16),
}
PATCH_SIZES = (2, 4, 8)
VARIANTS = {
    f"{kind}-{size}/{patch}": (patch, *SIZES[size])
    for kind in ("DiT", "SiT")
    for size in SIZES
    for patch in PATCH_SIZES
}
