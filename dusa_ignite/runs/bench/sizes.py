"""How large the models and batches of a measurement are: as the config says, or smaller, with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dusa_ignite.config import Config, load_config
from dusa_ignite.errors import ConfigError

SIZES = ("tiny", "small", "full")
NOTHING_READ = ("data.clean_root=null", "classifier.pretrained=false", "classifier.checkpoint=null")
OWN_SIZES = ("patch_size", "hidden_size", "depth", "num_heads")


def load_sized(path: str | Path, overrides: Sequence[str], *, size: str) -> tuple[Config, list[str]]:
    """The config in a size, and the overrides that make it so, the given ones last.

    Args:
        path: of the config file.
        overrides: the user's, which win.
        size: ``tiny`` for tests, ``small`` for a few CPU cores, or ``full``: as the config says.

    Raises:
        ConfigError: see :func:`dusa_ignite.config.load_config`; or the config is not one of classification.
    """
    config = load_config(path, overrides)
    if config.problem != "classification":
        raise ConfigError(f"problem={config.problem}: bench measures classification; a run's results.csv has images/s")
    if size == "full":
        return config, list(overrides)
    sized = [*_overrides(config, tiny=size == "tiny"), *overrides]
    return load_config(path, sized), sized


def _overrides(config: Config, *, tiny: bool) -> list[str]:
    """Tiny: models as the digits'. Small: ConvNeXt-T, and a transformer of size S in the latents of a random VAE."""
    images = (8, 4) if tiny else (4, 2)
    overrides = [
        *NOTHING_READ,
        f"classifier.name={'test_convnext' if tiny else 'convnext_tiny'}",
        f"classifier.image_size={32 if tiny else 224}",
        "classifier.options={}",
        f"data.batch_size={images[0]}",
        f"data.micro_batch_size={images[1]}",
    ]
    if config.transformer is None:
        return overrides
    kind = "DiT" if config.transformer.family == "dit" else "SiT"
    sizes = (4, 64, 2, 2) if tiny else ("null",) * 4
    return [
        *overrides,
        "transformer.checkpoint=random",
        f"transformer.variant={'null' if tiny else kind + '-S/2'}",
        *(f"transformer.{key}={value}" for key, value in zip(OWN_SIZES, sizes, strict=True)),
        f"transformer.image_size={32 if tiny else 256}",
        f"vae.pretrained={'null' if tiny else 'random'}",
    ]
