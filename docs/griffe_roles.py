"""Docstrings here are written for readers of the code; this makes them fit for the web site.

``:class:`Name` `` becomes a link if the site has a place for it, else code; ``Example:`` becomes a section of its own;
arguments that are described together (``a, b: ...``) get the description each.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:mod|class|func|meth|attr|data|exc):`~?([\w.]+)`")
EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)
TOGETHER = re.compile(r"^( +)(\w+(?:, \w+)+): (.*(?:\n\1 +.*)*)", re.MULTILINE)


class Roles(griffe.Extension):
    """Rewrites every docstring as it is read."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring:
            text = EXAMPLE.sub("Examples:", obj.docstring.value)
            before, args, after = text.partition("Args:\n")
            text = before + args + TOGETHER.sub(apart, after)
            obj.docstring.value = ROLE.sub(lambda match: link(obj, match[1]), text)


def apart(match: re.Match[str]) -> str:
    """The description once for every argument."""
    indent, names, description = match.groups()
    return "\n".join(f"{indent}{name}: {description}" for name in names.split(", "))


def link(obj: griffe.Object, name: str) -> str:
    """A link to what a name stands for; if the site has no place for it, it stays code."""
    try:
        target = obj.resolve(name) if "." not in name else name
    except griffe.NameResolutionError:
        target = f"{obj.parent.path}.{name}" if obj.parent else name
    return f'<autoref identifier="{target}" optional><code>{name}</code></autoref>'
