"""From a method's name in the config to its class."""

from __future__ import annotations

from dusa_ignite.errors import ConfigError
from dusa_ignite.methods import METHODS, Method
from dusa_ignite.utils.own_parts import is_reference, load_part


def find_method(name: str) -> type[Method]:
    """A method by its name, or one of the user's own by a reference, ``path/to/file.py:Name``.

    Raises:
        ConfigError: the reference leads nowhere, or to something else.
        KeyError: there is no such method.
    """
    if not is_reference(name):
        return {method.Options.model_fields["name"].default: method for method in METHODS}[name]
    part = load_part(name, key="method.name")
    if not (isinstance(part, type) and issubclass(part, Method)):
        raise ConfigError(f"method.name: {name} is not a subclass of dusa_ignite.Method")
    return part
