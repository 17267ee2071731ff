"""Everything that can be known before a long run, found out without writing anything: ``dusa-ignite check``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dusa_ignite.config import Config
from dusa_ignite.errors import ConfigError
from dusa_ignite.runs.assemble import check_options_of, set_up
from dusa_ignite.runs.check_data import classes_section, data_section
from dusa_ignite.runs.check_models import (
    classifier_section,
    clean_section,
    guide_section,
    memory_section,
    method_section,
)
from dusa_ignite.runs.check_output import output_section
from dusa_ignite.runs.check_report import CheckReport, Section
from dusa_ignite.runs.check_subject import Subject
from dusa_ignite.runs.micro_batches import resolved

SECTIONS: tuple[Callable[[Subject], Section], ...] = (
    data_section,
    classes_section,
    memory_section,
    classifier_section,
    guide_section,
    method_section,
    clean_section,
    output_section,
)
"""A function per topic. Each finds out what it can whatever the others found, and leaves it in the subject for those
below; what has gone wrong above is not reported again."""


def check(config: Config, *, overwrite: bool = False) -> CheckReport:
    """Look at the data, the models and the folder of a run as the run itself would; nothing is written to the disk.

    Args:
        config: of the run.
        overwrite: whether the run may replace an earlier one of its name.

    Returns:
        What was found, all problems that a user can mend among it.
    """
    set_up(config)
    try:
        config = resolved(config)
    except ConfigError as error:
        return invalid_config(error)
    subject = Subject(config, check_options_of(config), overwrite=overwrite)
    return CheckReport([config_section(subject), *(section(subject) for section in SECTIONS)])


def config_section(subject: Subject) -> Section:
    """Which run it is. That its config is valid is known by now."""
    facts: dict[str, Any] = {"name": subject.config.name, "seed": subject.config.seed}
    facts |= {"method": subject.options.method, "setting": subject.options.setting}
    line = ", ".join(f"{key} {value}" for key, value in facts.items())
    return Section("config", [line], facts=facts)


def invalid_config(error: Exception) -> CheckReport:
    """The report on a config that cannot be used: a problem per line of the error."""
    return CheckReport([Section("config", problems=str(error).splitlines())])
