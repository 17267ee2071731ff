"""YAML in and out: PyYAML's safe loader with YAML 1.2's plain values and strict keys, and a dumper to match.

PyYAML reads YAML 1.1, where ``off`` is false, ``010`` is 8, ``1_000`` is 1000, ``2026-11-25`` a date and ``1e-5`` text.
Here they are what a reader takes them for: text, 10, text, text and a number (YAML 1.2.2, section 10.3, core schema).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import BaseModel

from dusa_ignite.config.yaml_bounds import MAX_CHARACTERS, BoundedLoader
from dusa_ignite.errors import ConfigError
from dusa_ignite.utils.paths import expanded
from dusa_ignite.utils.text_files import read_regular

TAG = "tag:yaml.org,2002:"
CONSTRUCTED = (None, *(TAG + kind for kind in ("null", "bool", "int", "float", "str", "seq", "map")))
MAX_DIGITS = 30
MAX_BYTES = 4 * MAX_CHARACTERS
PLAIN_VALUES = {  # tag: (what matches, first characters)
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    "merge": (r"<<", ["<"]),  # of YAML 1.1, but in use
}


class _Loader(BoundedLoader):
    """YAML 1.2's plain values, and no others: no dates, sets, bytes or Python objects."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]
    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        tag: constructor for tag, constructor in yaml.SafeLoader.yaml_constructors.items() if tag in CONSTRUCTED
    }

    def construct_integer(self, node: yaml.ScalarNode) -> int:
        """Decimal also with a leading zero, ``0o17`` octal, ``0xF`` hexadecimal."""
        text = self.construct_scalar(node)
        if len(text) > MAX_DIGITS:
            raise yaml.constructor.ConstructorError(
                problem=f"a number of more than {MAX_DIGITS} digits", problem_mark=node.start_mark
            )
        return int(text, 0) if text.startswith(("0o", "0x")) else int(text)

    def construct_float(self, node: yaml.ScalarNode) -> float:
        """``.inf`` and ``.nan`` have a dot in YAML."""
        return float(re.sub(r"\.(?=inf|nan)", "", self.construct_scalar(node).lower()))

    def construct_bool(self, node: yaml.ScalarNode) -> bool:
        """``true`` is, whatever else is not."""
        return self.construct_scalar(node).lower() == "true"


class _Dumper(yaml.SafeDumper):
    """Mappings over lines, lists within one."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]


for kind in (_Loader, _Dumper):
    for name, (pattern, first) in PLAIN_VALUES.items():
        kind.add_implicit_resolver(TAG + name, re.compile(rf"^(?:{pattern})$"), first)
_Loader.add_constructor(f"{TAG}int", _Loader.construct_integer)
_Loader.add_constructor(f"{TAG}float", _Loader.construct_float)
_Loader.add_constructor(f"{TAG}bool", _Loader.construct_bool)
_Dumper.add_representer(
    str,
    lambda dumper, value: dumper.represent_scalar(
        TAG + "str", value, style="'" if value.lower() in ("on", "off", "yes", "no") else None
    ),  # other readers, those of YAML 1.1, take these for booleans
)
_Dumper.add_representer(
    list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)


def parse_yaml(text: str) -> Any:
    """Plain Python values of a YAML text.

    Raises:
        yaml.YAMLError, ValueError: it is not valid, a key is not text or given twice, or it is out of bounds, see
            :mod:`dusa_ignite.config.yaml_bounds`.
    """
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def read_mapping(path: str | Path) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        ConfigError: the file is missing, unreadable, no file, empty, not valid YAML, or holds something else.
    """
    try:
        content = parse_yaml(read_regular(expanded(path), limit=MAX_BYTES).decode("utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such config file") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigError(f"{path}: {line}{error.problem}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error
    except (yaml.YAMLError, ValueError) as error:  # characters that are not text, tags with wrong values
        raise ConfigError(f"{path}: not valid YAML ({str(error).splitlines()[0]})") from error
    if content is None:
        raise ConfigError(f"{path}: the config file is empty")
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must hold keys and values, not a {type(content).__name__}")
    return content


def to_yaml(config: BaseModel) -> str:
    """A config as YAML, with every default spelt out, keys in the schema's order; it loads back to an equal config."""
    return yaml.dump(config.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def to_yaml_value(value: Any) -> str:
    """A single value as it stands in a config, within a line."""
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000, default_flow_style=True)
    return text.removesuffix("...\n").strip()
