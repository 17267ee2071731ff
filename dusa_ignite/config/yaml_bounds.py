"""What a YAML text may ask for, checked while it is read and before anything is expanded.

An alias (``*name``) costs a few characters and stands for all that its anchor holds, so nine lines can mean a thousand
million values; a list within a list costs one character, and Python gives up at a thousand.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

MAX_CHARACTERS = 2**21
MAX_VALUES = 30_000  # more than the class names of ImageNet-21k; each alias counts as what it stands for
MAX_DEPTH = 50
MAX_KEY = 200  # characters
NOT_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")  # YAML's escapes can write what no text holds


class BoundedLoader(yaml.SafeLoader):
    """A safe loader that refuses what is too long, too deep, or within itself, with the line where it is."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_CHARACTERS:
            raise yaml.YAMLError(f"longer than {MAX_CHARACTERS:,} characters")
        super().__init__(text)
        self._values = self._level = self._deepest = 0
        self._measured: dict[int, tuple[int, int]] = {}  # values and levels of every node that is complete, by id

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node, or the one that an alias stands for."""
        mark = self.peek_event().start_mark
        if self.check_event(yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._measured:
                raise _refusal("an alias stands within what it stands for", mark)
            values, levels = self._measured[id(node)]
            self._count(values, self._level + levels, mark)
            return node
        values_before, deepest_before, self._deepest = self._values, self._deepest, 0
        self._level += 1
        self._count(1, self._level, mark)
        node = super().compose_node(parent, index)
        self._level -= 1
        self._measured[id(node)] = (self._values - values_before, self._deepest - self._level)
        self._deepest = max(deepest_before, self._deepest)
        return node

    def _count(self, values: int, level: int, mark: yaml.Mark) -> None:
        self._values += values
        self._deepest = max(self._deepest, level)
        if self._values > MAX_VALUES:
            raise _refusal(f"more than {MAX_VALUES:,} values, what aliases stand for included", mark)
        if level > MAX_DEPTH:
            raise _refusal(f"nested more than {MAX_DEPTH} levels deep", mark)

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        """A value that is no list and no mapping."""
        node = super().compose_scalar_node(anchor)
        if found := NOT_TEXT.search(node.value):
            raise _refusal(f"the character {found[0]!a} is not allowed", node.start_mark)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping, whose keys are short texts, each there once; PyYAML lets the last of two equal keys win."""
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise _refusal("a key is not text", key.start_mark)
            if key.tag != "tag:yaml.org,2002:str":
                raise _refusal(f"key {key.value[:MAX_KEY]!r} is not text (quote it)", key.start_mark)
            if len(key.value) > MAX_KEY or "\n" in key.value:
                raise _refusal(f"key {key.value[:20]!r}... is too long for a key", key.start_mark)
            if key.value in lines:
                problem = f"key {key.value!r} given twice, first in line {lines[key.value]}"
                raise _refusal(problem, key.start_mark)
            lines[key.value] = key.start_mark.line + 1
        return node


def _refusal(problem: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.composer.ComposerError(problem=problem, problem_mark=mark)
