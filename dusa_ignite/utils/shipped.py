"""The configs that travel with the package; they lie in the folder ``configs`` of the source tree."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from dusa_ignite.errors import ConfigError
from dusa_ignite.utils.paths import expanded


def shipped_folder() -> Path:
    """Where they are."""
    return Path(str(resources.files("dusa_ignite"))) / "configs"


def shipped_configs() -> dict[str, str]:
    """The line that says what each one is, by its name."""
    return {path.stem: _first_comment(path) for path in sorted(shipped_folder().glob("*.yaml"))}


def locate_config(name: str | Path) -> Path:
    """The file that ``--config`` stands for: a path, or the name of a shipped config (``digits``).

    Raises:
        ConfigError: there is neither such a file nor such a config.
    """
    path = expanded(name)
    if len(path.parts) > 1 or (os.path.exists(path) and not os.path.isdir(path)):
        return path  # a missing file is told of when it is read
    shipped = shipped_folder() / f"{str(name).removesuffix('.yaml')}.yaml"
    if not os.path.isfile(shipped):
        raise ConfigError(
            f"--config: {name}: neither a file nor a shipped config; there are {', '.join(shipped_configs())}"
        )
    return shipped


def _first_comment(path: Path) -> str:
    lines = [
        line.removeprefix("# ").strip()
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("# ")
    ]
    return next(line for line in lines if not line.startswith("yaml-language-server"))
