"""A run's configuration: a YAML file and overrides become a checked :class:`Config`.

The options themselves stand with the parts they belong to (a method's in its file in :mod:`dusa_ignite.methods`, and so
on); :mod:`dusa_ignite.config.schema` puts them together. A section whose keys depend on a choice (``data``, ``time``,
``method``, ``optimizer``) is one class per choice, told apart by ``name``.
"""

from dusa_ignite.config.file import load_config, method_names, read_config
from dusa_ignite.config.own_parts import own_parts
from dusa_ignite.config.schema import Config
from dusa_ignite.config.yaml_file import to_yaml

__all__ = ["Config", "load_config", "method_names", "own_parts", "read_config", "to_yaml"]
