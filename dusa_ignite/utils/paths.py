"""Paths as users type them."""

from __future__ import annotations

import os
from pathlib import Path

from dusa_ignite.errors import ConfigError

MAX_COMPONENT = 255  # bytes, of nearly all file systems
MAX_PATH = 3000  # bytes; Linux has 4,096, of which the names of what is written take some
FOLDER = "local-dir:"  # timm's word, before a path


def expanded(path: str | Path) -> Path:
    """The path with ``~`` and ``~user`` written out.

    Raises:
        ConfigError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{path}: there is no user of this name; a folder's name is written ./~name") from error


def usable_path(text: str) -> str:
    """For annotations: a path, or a name that may be one, with ``~`` written out, that a file system can hold.

    Raises:
        ValueError: it has control characters, is too long, or begins with the ``~`` of an unknown user.
    """
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError(f"{text[:80]!a} has control characters")
    prefix = FOLDER if text.startswith(FOLDER) else ""
    path = text.removeprefix(prefix)
    if path.startswith("~"):
        try:
            path = str(expanded(path))
        except ConfigError as error:
            raise ValueError(str(error)) from error
    encoded = encode_name(path)
    if len(encoded) > MAX_PATH or max(map(len, encoded.split(b"/"))) > MAX_COMPONENT:
        raise ValueError(
            f"{text[:40]!r}... is too long; allowed: {MAX_COMPONENT} bytes between two slashes, {MAX_PATH} in all"
        )
    return prefix + path


def encode_name(name: str) -> bytes:
    """A path or a part of one as the file system gets it.

    Raises:
        ValueError: it is no text, or not in this process's locale.
    """
    try:
        name.encode()
        return os.fsencode(name)
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{name[:80]!a} cannot be the name of a file here; write it in ASCII, or set LC_ALL=C.UTF-8"
        ) from error
