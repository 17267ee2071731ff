"""What data sets share whose classes the user may name."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from dusa_ignite.data.class_names import checked_names, read_class_names
from dusa_ignite.data.data_set import DataSet
from dusa_ignite.utils.section import PathText


class NamedClasses(DataSet):
    """A data set with the option ``classes``."""

    classes: PathText | tuple[str, ...] | None = Field(
        default=None,
        description="class names in the order of the labels: a list, a file (a name per line, or json) or imagenet-1k; "
        "null = those that are found, sorted, as integers where all are",
    )

    @field_validator("classes", mode="before")
    @classmethod
    def _are_names(cls, value: Any) -> Any:
        if value is None or isinstance(value, str):
            return value
        allowed = "allowed: a file, a list of names, or null"
        if not isinstance(value, (list, tuple)) or not value:
            raise ValueError(f"{value!r} is not allowed; {allowed}")
        for name in value:
            if not isinstance(name, str):
                raise ValueError(f"{name!r} is not text; {allowed}; quote names that are numbers")
        return checked_names(value)

    def class_names(self) -> tuple[str, ...] | None:
        """The names, in the order of the labels; ``None`` = those that are found.

        Raises:
            DataError: the file that ``classes`` names cannot be used.
        """
        return read_class_names(self.classes) if isinstance(self.classes, str) else self.classes
