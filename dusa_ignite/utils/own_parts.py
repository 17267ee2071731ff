"""Parts that a user brings along: ``path/to/file.py:Name`` or ``package.module:Name`` in the place of a name.

A file is imported once per process, whatever becomes of it later, as a module whose name is made of its path: so
classes in it can be pickled to processes that are forked from this one.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from dusa_ignite.errors import ConfigError
from dusa_ignite.utils.paths import expanded

REFERENCE = re.compile(r"(?!transformers:)(.+\.py|[A-Za-z_][\w.]*):[A-Za-z_]\w*")  # transformers:<folder> is a model

_sha256: dict[str, str] = {}  # of the files of modules as they were when they were imported, by the module's name


def is_reference(name: Any) -> bool:
    """Whether a name in a config stands for a part of the user's own."""
    return isinstance(name, str) and REFERENCE.fullmatch(name) is not None


def load_part(reference: str, *, key: str) -> Any:
    """The class, function or constant that a reference stands for.

    Args:
        reference: ``path/to/file.py:Name``, the path relative to the working directory, or ``package.module:Name``.
        key: the config key that holds it, for error messages.

    Raises:
        ConfigError: there is no such file, module or name, or importing it fails.
    """
    source, _, name = reference.rpartition(":")
    module = _module(source, reference, key)
    if not hasattr(module, name):
        raise ConfigError(f"{key}: {reference}: {source} has no {name}")
    return getattr(module, name)


def part_sha256(reference: str, *, key: str) -> str:
    """The SHA-256 of the file that a reference names, as it was when it was imported.

    Raises:
        ConfigError: there is no such file or module, or importing it fails.
    """
    module = _module(reference.rpartition(":")[0], reference, key)
    if module.__name__ not in _sha256:
        _sha256[module.__name__] = hashlib.sha256(Path(str(module.__file__)).read_bytes()).hexdigest()
    return _sha256[module.__name__]


def _module(source: str, reference: str, key: str) -> ModuleType:
    if source.endswith(".py") and not os.path.isfile(expanded(source)):
        raise ConfigError(f"{key}: {reference}: there is no file {expanded(source).absolute()}")
    try:
        return _import_file(expanded(source)) if source.endswith(".py") else importlib.import_module(source)
    except Exception as error:  # a user's file may raise anything
        reason = " ".join([f"{type(error).__name__}:", *str(error).split()])
        raise ConfigError(
            f"{key}: {reference}: {source} cannot be imported ({reason}); mend it, or write path/to/file.py:Name or "
            "package.module:Name"
        ) from error


def _import_file(path: Path) -> ModuleType:
    path = path.resolve()
    name = f"own_part_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        _sha256[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]
