"""Parts that a user brings along: ``path/to/file.py:Name`` or ``package.module:Name`` in the place of a name.

The file's module is imported once per process, under a name made of its path, so that classes in it can be pickled to
processes that are forked from this one.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from dusa_ignite.errors import ConfigError


def is_reference(name: Any) -> bool:
    """Whether a name in a config stands for a part of the user's own."""
    return isinstance(name, str) and ":" in name and not name.startswith("hub:")


def load_part(reference: str, *, key: str) -> Any:
    """The class or function that a reference stands for.

    Args:
        reference: ``path/to/file.py:Name``, the path relative to the working directory, or ``package.module:Name``.
        key: the config key that holds it, for error messages.

    Raises:
        ConfigError: there is no such file, module or name, or importing it fails.
    """
    source, _, name = reference.rpartition(":")
    try:
        module = _import_file(Path(source)) if source.endswith(".py") else importlib.import_module(source)
    except FileNotFoundError as error:
        raise ConfigError(f"{key}: {reference}: there is no file {Path(source).absolute()}") from error
    except Exception as error:  # a user's file may raise anything
        raise ConfigError(
            f"{key}: {reference}: {source} cannot be imported ({type(error).__name__}: {error}); mend it, or write "
            "path/to/file.py:Name or package.module:Name"
        ) from error
    if not hasattr(module, name):
        raise ConfigError(f"{key}: {reference}: {source} has no {name}")
    return getattr(module, name)


def reference_to(part: Any) -> str:
    """A reference that another process can load a class or function from."""
    return f"{inspect.getfile(part)}:{part.__qualname__}"


def part_sha256(reference: str, *, key: str) -> str:
    """The SHA-256 of the file that a part comes from."""
    return hashlib.sha256(Path(inspect.getfile(load_part(reference, key=key))).read_bytes()).hexdigest()


def _import_file(path: Path) -> ModuleType:
    path = path.expanduser().resolve(strict=True)
    name = f"own_part_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]
