"""The house rules of docs/design.md, read off the files: what lies where, who imports whom, which words are used."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.files import ROOT

from dusa_ignite.data import DATA_SETS
from dusa_ignite.methods import METHODS
from dusa_ignite.models.guides import families

PACKAGE = ROOT / "dusa_ignite"
FILES = sorted(PACKAGE.rglob("*.py"))
LAYERS = (  # each imports only itself and what stands before it
    "errors", "utils", "engine", "distributed", "data", "models", "segmentation", "methods", "results", "handlers",
    "problems", "config", "pretraining", "runs", "library", "comparison", "testing", "commands",
)  # fmt: skip
READERS_OF_THE_CONFIG = {"config", "runs", "library", "comparison", "commands", "pretraining", "testing"}
FORMER_WORDS = (
    "by_the_first", "how_to_start", "saved_in_full", "mixes_images", "image_parts", "STILL_METHODS", "MEMORIES",
    "farewell", "PATIENCE =", r"\bPass\(", r"hasattr\(memory", r"inspect\.signature", r"\bmemory=",
)  # fmt: skip


@functools.cache
def text_of(path: Path) -> str:
    """Every file is read once, not once for each of its rules."""
    return path.read_text(encoding="utf-8")


@functools.cache
def imports(path: Path) -> tuple[str, ...]:
    """The modules of this package that a file imports, also within functions, but for type checkers."""
    return tuple(_imports(ast.parse(text_of(path))))


def _imports(tree: ast.Module) -> Iterator[str]:
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("dusa_ignite."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dusa_ignite"):
            if node.module == "dusa_ignite":
                yield from (f"dusa_ignite.{alias.name}" for alias in node.names)
            else:
                yield str(node.module)


def room(module: str) -> str:
    """``dusa_ignite.models.guides`` -> ``models``."""
    return [*module.split("."), ""][1]


def room_of(path: Path) -> str:
    """The room that a file is in; the root's own files are rooms by themselves."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_rooms_not_loose_modules() -> None:
    assert {path.name for path in PACKAGE.iterdir() if path.is_file()} == {
        "__init__.py",
        "__main__.py",
        "engine.py",
        "errors.py",
        "py.typed",
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards(path: Path) -> None:
    own = room_of(path)
    if own in ("__init__", "__main__"):
        return
    allowed = LAYERS[: LAYERS.index(own) + 1]
    assert [module for module in imports(path) if room(module) not in allowed] == []


def test_the_config_has_few_readers() -> None:
    readers = {room_of(path) for path in FILES if any(room(module) == "config" for module in imports(path))}
    assert readers - {"__init__"} <= READERS_OF_THE_CONFIG
    sections = r"\bconfig\.(data|classifier|transformer|vae|path|time|method|optimizer|norm_ema|run|checkpoint)\b"
    reading = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        if room_of(path) == "runs" and re.search(sections, text_of(path))
    }
    assert {path for path in reading if not path.startswith(("runs/assemble", "runs/bench"))} == set()


@pytest.mark.parametrize("kind", [*METHODS, *DATA_SETS], ids=lambda kind: kind.__name__)
def test_a_thing_is_one_file_and_one_line(kind: type) -> None:
    others = METHODS if kind in METHODS else DATA_SETS
    assert [other for other in others if other.__module__ == kind.__module__] == [kind]
    folder = kind.__module__.rpartition(".")[0]
    elsewhere = [
        str(path.relative_to(PACKAGE))
        for path in FILES
        if kind.__module__ in imports(path) and room_of(path) != folder.split(".")[1]
    ]
    assert elsewhere == [] or kind.__name__ == "Digits"  # pre-training and the embedded clean images are the digits'
    lines = (PACKAGE / folder.split(".")[1] / "__init__.py").read_text().splitlines()
    assert sum(line.strip() == f"{kind.__name__}," for line in lines) == 1


def test_a_family_of_guides_is_one_file_and_one_line() -> None:
    lines = Path(families.__file__).read_text().splitlines()
    for family in families.FAMILIES:
        assert (Path(families.__file__).parent / f"{family.name}.py").is_file()
        assert sum(line.strip() == f"{family.name.upper()}," for line in lines) == 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_holds_one_concept(path: Path) -> None:
    assert len(text_of(path).splitlines()) <= 250


def test_words_of_the_field() -> None:
    found = {
        (str(path.relative_to(PACKAGE)), word)
        for path in FILES
        for word in FORMER_WORDS
        if re.search(word, text_of(path))
    }
    assert found == set()


def test_launch_scripts_are_doors() -> None:
    for path in (ROOT / "launch").glob("*.py"):
        lines = [line for line in text_of(path).splitlines() if line and not line.startswith(('"""', "#"))]
        assert len(lines) <= 6, path
