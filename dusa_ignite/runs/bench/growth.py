"""How an update's cost grows: the shipped variant with more and more images, or candidates."""

from __future__ import annotations

from dusa_ignite.config import Config
from dusa_ignite.errors import ConfigError
from dusa_ignite.runs.bench.variants import Variant

GROWS = ("batch", "candidates")
FACTORS = (0.25, 0.5, 1, 2, 4)  # of the config's batch size
CANDIDATES = (1, 2, 4, 6, 8, 12)


def growth_variants(config: Config, grow: str) -> list[Variant]:
    """The variants that are measured.

    Args:
        config: whose batch size or number of classes they go by.
        grow: ``batch``: a quarter to four times as many images per update; ``candidates``: 1 to 12 of them, as many as
            there are classes, all of them the likeliest ones (``method.num_random=0``).

    Raises:
        ConfigError: the method has no candidates.
    """
    if grow == "batch":
        sizes = sorted({max(1, round(factor * config.data.batch_size)) for factor in FACTORS})
        return [Variant(f"batch {size}", (f"data.batch_size={size}",)) for size in sizes]
    if not hasattr(config.method, "num_top"):
        raise ConfigError(f"--grow candidates: method.name={config.method.name} has none; take dusa or dusa_u")
    counts = [count for count in CANDIDATES if count <= config.classifier.num_classes]
    return [Variant(f"{count} candidates", (f"method.num_top={count}", "method.num_random=0")) for count in counts]
