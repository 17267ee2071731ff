"""SiT trained with REPA (Yu et al. 2024, arXiv 2410.06940): time 1 at the noise, no learned variance.

Checkpoints carry ``projectors.*``, heads that aligned the features in training and are of no use afterwards. Any
transformer without a learned variance counts as this family, whichever way its time runs.
"""

from __future__ import annotations

from dusa_ignite.models.guides.families.family import Family
from dusa_ignite.models.guides.paths import cosine, linear, reverse_linear

REPA = Family(
    name="repa",
    paths={"linear": linear, "cosine": cosine, "reverse_linear": reverse_linear},
    learns_sigma=False,
    dropped=("projectors.",),
)
