"""A small config file that several test files share, and the lines of an error."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dusa_ignite import load_config
from dusa_ignite.errors import ConfigError

MINIMAL = """
name: mini
data: {name: imagenet_c, root: /data}
classifier: {name: resnet50_gn.a1h_in1k}
transformer: {variant: SiT-XL/2, family: repa, checkpoint: last.pt}
"""

NAMES = "(the run's folder in output_dir: letters, digits and _, behind the first also spaces and . + = -)"


def errors_of(path: Path, *overrides: str) -> list[str]:
    """The lines of the error, without the file's or the override's name in front."""
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    lines = str(caught.value).splitlines()
    return [re.sub(r"^(override .+?=.*?|\S+\.yaml): (?=[\w.]+: )", "", line) for line in lines]
