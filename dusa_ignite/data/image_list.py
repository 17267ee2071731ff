"""A list of images with their labels: a CSV file with the columns path, label and task."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from dusa_ignite.data.files import LabelledFiles
from dusa_ignite.data.label_texts import labels_by_text, not_a_label
from dusa_ignite.data.named_classes import NamedClasses
from dusa_ignite.data.task import Task
from dusa_ignite.errors import DataError
from dusa_ignite.utils.paths import expanded
from dusa_ignite.utils.section import PathText
from dusa_ignite.utils.text_files import read_regular

COLUMNS = ("path", "label", "task")
MAX_BYTES = 2**31


class Line(NamedTuple):
    """One image of the list; ``number`` is that of its line in the file, from 1."""

    number: int
    path: str
    label: str
    task: str


class ImageList(NamedClasses):
    """A CSV file that lists images, their labels and tasks."""

    name: Literal["image_list"] = "image_list"
    root: PathText = Field(
        min_length=1,
        description="CSV file with the header path,label,task (the last two may be missing); paths are relative to it",
    )

    def tasks(self) -> list[Task]:
        """A task for each name in the column ``task``, in order of appearance; without it one, named after the file.

        A label is the name of a class or its position; an empty one is not known, as are all where there is no column
        ``label``. Paths may be absolute; ``./a`` is ``a``.

        Raises:
            DataError: the file cannot be read or is not of this form; the message names the line.
        """
        file = expanded(self.root)
        lines = read_lines(file)
        label_of, classes = labels_by_text((line.label for line in lines), self.class_names())
        by_task: dict[str, list[Line]] = {}
        for line in lines:
            if line.label not in label_of:
                raise DataError(f"{file}, line {line.number}: {not_a_label(line.label, classes)}")
            by_task.setdefault(line.task, []).append(line)
        return [
            Task(
                name,
                LabelledFiles(
                    file.parent, files=[line.path for line in some], labels=[label_of[line.label] for line in some]
                ),
                classes,
            )
            for name, some in by_task.items()
        ]


def read_lines(file: Path) -> list[Line]:
    """The images that a CSV file lists.

    Raises:
        DataError: see :meth:`ImageList.tasks`.
    """
    try:
        text = read_regular(file, limit=MAX_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{file}: cannot read this file ({error.strerror}); data.root must name a CSV file") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    try:
        lines = list(_lines(file, reader))
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num}: is no CSV ({error})") from error
    if not lines:
        raise DataError(f"{file}: lists no images; expected a line path,label under the header")
    return lines


def _lines(file: Path, reader) -> Iterator[Line]:  # type: ignore[no-untyped-def]
    header = [name.strip() for name in next(reader, [])]
    if "path" not in header or len(set(header)) < len(header) or not set(header) <= set(COLUMNS):
        raise DataError(
            f"{file}, line 1: the header is {','.join(header)[:80]!r}; expected path,label,task (the "
            "last two may be missing), with commas between"
        )
    seen: dict[tuple[str, str], int] = {}
    for row in reader:
        if not row:
            continue
        place = f"{file}, line {reader.line_num}"
        if len(row) != len(header):
            raise DataError(f"{place}: has {len(row)} fields, the header has {len(header)}; quote a field with commas")
        fields = dict(zip(header, map(str.strip, row), strict=True))
        path = fields["path"].removeprefix("./")
        line = Line(reader.line_num, path, fields.get("label", ""), fields.get("task", file.stem))
        if not line.path or not line.task:
            raise DataError(f"{place}: the {'task' if line.path else 'path'} is empty")
        before = seen.setdefault((line.task, line.path), line.number)
        if before != line.number:
            raise DataError(f"{place}: {line.path} stands in line {before} already")
        yield line
