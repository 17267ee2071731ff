"""What data sets of corrupted images share: the choice of corruptions and severities, and its checks."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator

from dusa_ignite.data.data_set import DataSet
from dusa_ignite.utils.nearest import nearest
from dusa_ignite.utils.section import Distinct, as_tuple, distinct

SEVERITIES = (1, 2, 3, 4, 5)

BENCHMARK_CORRUPTIONS = (  # ImageNet-C's, which other data sets have under the same names
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
)

# The four that ImageNet-C sets aside for validation follow the fifteen of the benchmark.
ALL_CORRUPTIONS = (*BENCHMARK_CORRUPTIONS, "speckle_noise", "gaussian_blur", "spatter", "saturate")

Severity = Annotated[int, Field(ge=SEVERITIES[0], le=SEVERITIES[-1])]


class CorruptedDataSet(DataSet):
    """A data set with a task for each of some corruptions at each of some severities, see :attr:`pairs`.

    A subclass states the corruptions there are (the class variables) and finds their tasks, each named
    ``<corruption>/<severity>``.
    """

    benchmark_corruptions: ClassVar[tuple[str, ...]]
    """What ``benchmark`` stands for."""
    all_corruptions: ClassVar[tuple[str, ...]]
    """What ``all`` stands for: every name that is known."""

    corruptions: Literal["benchmark", "all"] | tuple[str, ...] = Field(
        default="benchmark", description="benchmark, all, or a list of names"
    )
    severities: Annotated[tuple[Severity, ...], Field(min_length=1), BeforeValidator(as_tuple), Distinct] = Field(
        default=(5,), description="list out of 1 (weak) .. 5 (strong)"
    )

    @field_validator("corruptions", mode="before")
    @classmethod
    def _are_known(cls, value: Any) -> Any:
        known = cls.all_corruptions
        if value in ("benchmark", "all"):
            return value
        if not isinstance(value, (list, tuple)) or not value:
            raise ValueError(f"{value!r} is not allowed; allowed: benchmark | all | a list such as [{known[0]}]")
        unknown = [
            f"{name!r} is no corruption, did you mean {nearest(str(name), known)}?"
            for name in islice((name for name in value if name not in known), 5)
        ]
        if unknown:
            raise ValueError(f"{' '.join(unknown)}; allowed: benchmark | all | a list out of {', '.join(known)}")
        return distinct(tuple(value))

    @property
    def pairs(self) -> list[tuple[str, int]]:
        """The chosen corruptions and severities: corruption by corruption, each at all severities as listed."""
        if self.corruptions == "benchmark":
            names = self.benchmark_corruptions
        elif self.corruptions == "all":
            names = self.all_corruptions
        else:
            names = self.corruptions
        return [(name, severity) for name in names for severity in self.severities]
