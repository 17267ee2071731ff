"""Parts of a user's own, as small as they can be, and configs that name them."""

from __future__ import annotations

import sys
from pathlib import Path

METHOD = """
import torch
from pydantic import Field

from dusa_ignite import Method, Step
from dusa_ignite.methods.entropy import EntropyMethod


class Mine(EntropyMethod):
    class Options(Method.Options):
        \"\"\"Tent with a weight that grows.\"\"\"

        weight: float = Field(default=1.0, gt=0, description="of all images, > 0")
        growth: float = Field(default=0.5, ge=0, description="of the weight per batch, >= 0")

    smallest_batch = 4

    def __init__(self, options=None, **parts):
        super().__init__(options, **parts)
        self.batches = 0

    def adapt(self, images, batch):
        factor = self.options.weight * (1 + self.options.growth * self.batches)
        logits, _, loss, number = self.backpropagate_entropy(images, lambda _, e: torch.full_like(e, factor))
        self.batches += 1
        return Step(logits, loss, self.step(loss) if number else None, {"batches": float(self.batches)})

    def state_dict(self):
        return {"batches": self.batches}

    def load_state_dict(self, state):
        self.batches = state["batches"]


def build(width=4, outputs=10, cfg=True):
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, width, 4, stride=4), torch.nn.GroupNorm(2, width), torch.nn.GELU(), torch.nn.Flatten(),
        torch.nn.Linear(width * 64, outputs),
    )
    if cfg:
        model.pretrained_cfg = {"input_size": (3, 32, 32), "mean": (0.5,) * 3, "std": (0.5,) * 3, "crop_pct": 1.0}
    return model


NUMBER = 5
"""

DATA = """
from typing import Literal

import torch
from pydantic import Field

from dusa_ignite.data import DataSet, Task


class Noise(DataSet):
    levels: int = Field(default=2, ge=1, description="tasks, >= 1")
    num_workers: int = 0

    def tasks(self):
        return [Task(f"noise/{level}", Images(level), tuple("0123456789")) for level in range(1, self.levels + 1)]


class Images:
    def __init__(self, level):
        self.level = level
        self.labels = torch.arange(12) % 10

    def __len__(self):
        return 12

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(100 * self.level + index)
        return torch.randint(256, (3, 32, 32), generator=generator, dtype=torch.uint8), int(self.labels[index])

    def fingerprint(self):
        return f"{self.level:064d}"
"""

FAMILY = """
from dusa_ignite.models.guides import Family
from dusa_ignite.models.guides.paths import linear


def squared(x0, z, t):
    s = t.to(x0.dtype).view(-1, 1, 1, 1) ** 2
    return (1 - s) * x0 + s * z, z - x0, t


MINE = Family(name="mine", paths={"squared": squared, "linear": linear}, learns_sigma=False, dropped=("head.",))
NO_FAMILY = {"squared": squared}
"""


def write_parts(folder: Path) -> dict[str, str]:
    """References to the parts, by what they are."""
    sources = {"method": (METHOD, "Mine"), "data": (DATA, "Noise"), "family": (FAMILY, "MINE")}
    for name, (source, _) in sources.items():
        (folder / f"own_{name}.py").write_text(source)
    references = {name: f"{folder}/own_{name}.py:{part}" for name, (_, part) in sources.items()}
    return {**references, "classifier": f"{folder}/own_method.py:build"}


def forget_imports() -> None:
    """Another process would know of no file that this one has imported."""
    for name in [name for name in sys.modules if name.startswith("own_part_")]:
        del sys.modules[name]
