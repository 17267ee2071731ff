"""YAML in and out: PyYAML's safe loader made strict about keys, and a dumper in the schema's order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from dusa_ignite.errors import ConfigError


class _StrictLoader(yaml.SafeLoader):
    """Keys are text, once per mapping; PyYAML itself reads ``on`` as true and lets the last of two equal keys win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            problem = None
            if key.tag != "tag:yaml.org,2002:str":
                problem = (
                    f"key {key.value!r} is not text (quote it)" if isinstance(key.value, str) else "a key is not text"
                )
            elif key.value in lines:
                problem = f"key {key.value!r} given twice, first in line {lines[key.value]}"
            if problem:
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
            lines[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Mappings over lines, lists within one."""


_Dumper.add_representer(
    list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)


def parse_yaml(text: str) -> Any:
    """Plain Python values of a YAML text.

    Raises:
        yaml.YAMLError, ValueError: it is not valid, or a key is not text or given twice.
    """
    return yaml.load(text, Loader=_StrictLoader)


def read_mapping(path: str | Path) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        ConfigError: the file is missing, unreadable, empty, not valid YAML, or holds something else.
    """
    try:
        content = parse_yaml(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such config file") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigError(f"{path}: {line}{error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:  # characters that are not text, impossible dates
        raise ConfigError(f"{path}: not valid YAML ({str(error).splitlines()[0]})") from error
    if content is None:
        raise ConfigError(f"{path}: the config file is empty")
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must hold keys and values, not a {type(content).__name__}")
    return content


def to_yaml(config: BaseModel) -> str:
    """A config as YAML, with every default spelt out, keys in the schema's order; it loads back to an equal config."""
    return yaml.dump(config.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
