"""The official SiT (Ma et al. 2024, arXiv 2401.08740): time 1 at the data, with a learned variance."""

from __future__ import annotations

from dusa_ignite.models.guides.families.family import Family
from dusa_ignite.models.guides.paths import reverse_linear

SIT = Family(name="sit", paths={"reverse_linear": reverse_linear}, learns_sigma=True)
