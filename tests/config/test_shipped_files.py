"""The shipped configs say the truth about their values: which are defaults, and what the default is otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from pydantic import BaseModel
from support.files import CONFIGS

from dusa_ignite.config import Config
from dusa_ignite.config.fields import choices
from dusa_ignite.config.yaml_file import parse_yaml
from dusa_ignite.pretraining.config import PretrainConfig
from dusa_ignite.pretraining.own.config import OwnConfig
from dusa_ignite.pretraining.shapes_config import ShapesConfig

CONFIG_FILES = sorted(CONFIGS.glob("*.yaml"))
CLAIM = "A value is the default unless a comment says else."


class Entry(NamedTuple):
    """A line of a config file: its dotted key, value, comment, and what the schema has there as a default."""

    key: str
    value: Any
    comment: str
    default: Any  # ``...`` = it must be given


def schema_of(path: Path) -> type[BaseModel]:
    trainings = {"digits_pretrain": PretrainConfig, "shapes_pretrain": ShapesConfig, "own_guide": OwnConfig}
    return trainings.get(path.stem, Config)


def default_of(keys: list[str], content: Any, schema: type[BaseModel]) -> Any:
    """A key's default, within the choice that the file makes; that of a section's name is the section's choice."""
    default: Any = None
    for depth, key in enumerate(keys):
        field = schema.model_fields[key]
        default, content = ... if field.is_required() else field.default, content[key]
        options = choices(field)
        if options and isinstance(content, dict):
            if field.discriminator and keys[depth + 1 :] == ["name"]:
                return ... if field.is_required() else field.default.name
            schema = options[""] if "" in options else options[content.get("name") or default.name]
    return default.model_dump() if isinstance(default, BaseModel) else default


def entries(path: Path) -> Iterator[Entry]:
    text = path.read_text().partition("\npresets:")[0]
    content, above = yaml.safe_load(text), list[tuple[int, str]]()
    for line in text.splitlines():
        match = re.match(r"( *)(\w+):([^#]*)(?:# (.*))?$", line)
        if not match or line.startswith("#"):
            continue
        above = [*((indent, key) for indent, key in above if indent < len(match[1])), (len(match[1]), match[2])]
        keys = [key for _, key in above]
        value = content
        for key in keys:
            value = value[key]
        yield Entry(".".join(keys), value, match[4] or "", default_of(keys, content, schema_of(path)))


def plain(value: Any) -> Any:
    """Tuples as lists, and numbers that YAML takes for text as numbers."""
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("path", CONFIG_FILES, ids=lambda path: path.stem)
def test_comments_tell_defaults(path: Path) -> None:
    assert CLAIM in path.read_text()
    found = list(entries(path))
    assert len(found) > 25
    for key, value, comment, default in found:
        claimed = re.search(r"\(default (.*)\)$", comment)
        if default is ...:
            assert isinstance(value, dict) or comment.endswith("(required)"), key
        elif isinstance(default, dict):  # a section; its keys tell
            assert isinstance(value, dict), key
        elif value == plain(default):
            assert claimed is None, f"{key}: is the default"
        else:
            assert claimed, f"{key}: {default!r} is the default"
            assert parse_yaml(claimed[1]) == plain(default), key
        assert "(required)" not in comment or default is ..., key


@pytest.mark.parametrize("path", CONFIG_FILES, ids=lambda path: path.stem)
def test_comments_are_aligned(path: Path) -> None:
    lines = [
        line for line in path.read_text().partition("\npresets:")[0].splitlines() if not line.lstrip().startswith("#")
    ]
    columns = [line.index("# ") for line in lines if " # " in line]
    column = max(set(columns), key=columns.count)
    for line in lines:
        if " # " in line:
            code = line.partition(" # ")[0].rstrip()
            assert line.index("# ") == max(column, len(code) + 2), line
    assert max(len(line) for line in path.read_text().splitlines()) <= 120
