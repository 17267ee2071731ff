"""What a data set is: options, and the tasks it finds."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from dusa_ignite.data.file_list import narrowed
from dusa_ignite.data.task import ProblemName, Task
from dusa_ignite.errors import UserError
from dusa_ignite.utils.section import PathText, Section


class DataSet(Section):
    """The config's section ``data``, and where a run's tasks come from.

    A data set is a subclass in a file of its own: it names itself, adds its own options (fields), and defines
    :meth:`tasks`. The options here are about the stream that is made of the tasks, whatever they are.

    Example:
        >>> class Photos(DataSet):
        ...     name: Literal["photos"] = "photos"
        ...     root: str = Field(description="folder of the photos")
        ...
        ...     def tasks(self) -> list[Task]:
        ...         return [Task("day", PhotosOf(self.root), classes=("cat", "dog"))]
    """

    problem: ClassVar[ProblemName] = "classification"
    """What its images are labelled for."""
    ratio: ClassVar[float] = 4 / 3
    """Of its images' sides, the longer over the shorter one, where models see them whole; to estimate memory by."""

    name: str = Field(description="the data set")
    batch_size: int = Field(default=64, ge=1, le=65536, description="images per update, over all processes, >= 1")
    micro_batch_size: Annotated[int, Field(ge=1, le=65536)] | Literal["auto"] = Field(
        default=8,
        description="images in the graph at once, >= 1, or auto = as many as fit; no effect on results",
    )
    shuffle: bool = Field(default=True, description="whether a task's images come in random order")
    correlation: float = Field(default=0.1, gt=0, description="of labels in setting=correlated, > 0; small = bursts")
    limit: int | None = Field(default=None, ge=1, description="images per task, >= 1, a random subset; null = all")
    num_workers: int = Field(
        default=4, ge=0, le=512, description="loader processes, >= 0; 0 = load in the main process"
    )
    score_over: Literal["all", "present"] = Field(
        default="all",
        description="classes that predictions and metrics are made among: all, or those present in a task's labels "
        "(ImageNet-R, -A); the update is not touched, see method.restrict_to",
    )
    files: PathText | None = Field(
        default=None,
        min_length=1,
        description="file with a path per line, relative to the root: only these images are taken; null = all",
    )
    on_error: Literal["raise", "skip"] = Field(default="raise", description="what an unreadable image does")
    clean_root: PathText | None = Field(
        default=None,
        min_length=1,
        description="folder of class folders with clean images, measured before the first update; embedded = the "
        "digits'; null = none",
    )
    clean_images: int = Field(
        default=256, ge=1, le=10**7, description="of it, drawn evenly over the classes, >= 1; at most all"
    )
    clean_minimum: float | None = Field(
        default=None, ge=0, le=1, description="accuracy on them below which a run does not begin, in [0, 1]; null = any"
    )

    @field_validator("clean_minimum")
    @classmethod
    def _has_clean_images(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("clean_root", "failed") is None:
            raise ValueError(f"{value:g} needs data.clean_root, a folder of class folders with clean images")
        return value

    def tasks(self) -> list[Task]:
        """The tasks in the order they are met, at least one.

        Names differ from one another, and all tasks have the same classes. Every process calls this and must find the
        same, so nothing here may depend on anything but the options and the files; the order of a task's images, its
        limit and the batches are the stream's affair (:mod:`dusa_ignite.data.stream`).

        A task named ``<corruption>/<severity>`` can take part in the setting ``gradual``.

        Raises:
            ConfigError: the options ask for something that cannot be.
            DataError: files or folders are missing or not what they should be.
        """
        raise NotImplementedError(f"{type(self).__name__} must define tasks")

    def find(self, problems: list[str] | None = None) -> list[Task]:
        """The tasks that a run meets: those of :meth:`tasks`, with those of their images that ``files`` lists.

        Args:
            problems: ``None`` = whatever is wrong is an error; else it is added here, see :meth:`survey`.

        Raises:
            UserError: see :meth:`tasks` and :func:`dusa_ignite.data.file_list.narrowed`.
        """
        tasks = self.tasks() if problems is None else self.survey(problems)
        if self.files is None or not tasks:
            return tasks
        try:
            return narrowed(tasks, self.files)
        except UserError as error:
            if problems is None:
                raise
            problems.append(str(error))
            return tasks

    def survey(self, problems: list[str]) -> list[Task]:
        """The tasks as far as they can be found, for ``dusa-ignite check``.

        This one stops at the first thing that is wrong. A data set that can go on past it may define its own.

        Args:
            problems: what is wrong is added to it, in the words of :meth:`tasks`; nothing is raised.
        """
        try:
            return self.tasks()
        except UserError as error:
            problems.append(str(error))
            return []
