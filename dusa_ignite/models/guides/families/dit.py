"""DiT (Peebles & Xie 2023, arXiv 2212.09748): DDPM of 1,000 steps that predicts the noise, with a learned variance."""

from __future__ import annotations

from dusa_ignite.models.guides.families.family import Family
from dusa_ignite.models.guides.paths import ddpm

DIT = Family(name="dit", paths={"ddpm": ddpm}, learns_sigma=True)
