"""A run's configuration: every option typed, with its unit, range and default.

A section whose keys depend on a choice (``data``, ``time``, ``method``, ``optimizer``) is one class per choice, told
apart by ``name``. A further choice is a further class in the section's union in :mod:`dusa_ignite.config.schema`, a
further section a further field of :class:`Config`. Needs neither torch nor a GPU.
"""

from dusa_ignite.config.file import load_config, method_names, read_config
from dusa_ignite.config.schema import Config
from dusa_ignite.config.types import Section
from dusa_ignite.config.yaml_file import to_yaml

__all__ = ["Config", "Section", "load_config", "method_names", "read_config", "to_yaml"]
