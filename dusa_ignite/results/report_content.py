"""What a report shows of a run, read from the run's folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dusa_ignite.results import files
from dusa_ignite.results.digest import Counts, Digest, digest
from dusa_ignite.results.rows import Row, read_csv
from dusa_ignite.results.thumbnails import Thumbnail

WARNING = re.compile(r"^\S+ \S+ (?:WARNING|ERROR) \S+: (.*)$")  # a line of log.txt
MOST_WARNINGS = 60


class Content(NamedTuple):
    """A run, as far as its folder has it.

    Attributes:
        name: of the folder.
        rows: results by task, the mean last.
        digest: of the predictions.
        marks: by task, after how many images the monitor had warned.
        warnings: the log's, each once, the first :data:`MOST_WARNINGS` of them.
        num_warnings: of how many.
        summary: summary.json; empty where the run has not finished.
        made_of: run.json.
        config: the text of config.yaml.
        pictures: of the changed images, by task and position.
    """

    name: str
    rows: list[Row]
    digest: Digest
    marks: Mapping[str, Sequence[int]]
    warnings: list[str]
    num_warnings: int
    summary: Mapping[str, Any]
    made_of: Mapping[str, Any]
    config: str
    pictures: Mapping[tuple[str, int], Thumbnail]

    @property
    def tasks(self) -> list[Row]:
        """The rows without the mean."""
        return [row for row in self.rows if row["task"] != "mean"]

    @property
    def mean(self) -> Row:
        """The row ``mean``; empty where there is none."""
        return next((row for row in self.rows if row["task"] == "mean"), {})

    @property
    def labelled(self) -> bool:
        """Whether there is an accuracy."""
        return "top1" in self.mean

    @property
    def has_source(self) -> bool:
        """Whether the source model has predicted, too."""
        return self.digest.whole.asked > 0

    def class_name(self, label: int) -> str:
        """Its name, or its number where nobody names it."""
        names = (self.made_of.get("classes") or {}).get("names") or ()
        return str(names[label]) if 0 <= label < len(names) else str(label)


def read_content(
    folder: Path,
    *,
    summary: Mapping[str, Any] | None = None,
    pictures: Mapping[tuple[str, int], Thumbnail] | None = None,
) -> Content:
    """Read a run's folder.

    Args:
        folder: of the run.
        summary: what summary.json will hold; ``None`` = read it, where there is one.
        pictures: see :class:`Content`.

    Raises:
        DataError: its results cannot be read.
        ValueError: another file is not what a run writes.
        OSError: a file cannot be read.
    """
    rows = read_csv(folder / files.RESULTS)
    images = {row["task"]: int(row["images"]) for row in rows if row["task"] != "mean"}
    predictions = folder / files.PREDICTIONS
    warnings = _warnings(folder / files.LOG)
    return Content(
        name=folder.resolve().name,
        rows=rows,
        digest=digest(predictions, images=images) if predictions.is_file() else Digest({}, Counts(), [], 0),
        marks=_marks(folder / files.UPDATES),
        warnings=warnings[:MOST_WARNINGS],
        num_warnings=len(warnings),
        summary=_json(folder / files.SUMMARY) if summary is None else summary,
        made_of=_json(folder / files.RUN),
        config=_text(folder / files.CONFIG),
        pictures=pictures or {},
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="backslashreplace") if path.is_file() else ""


def _json(path: Path) -> dict[str, Any]:
    content = json.loads(_text(path) or "{}")
    return content if isinstance(content, dict) else {}


def _marks(path: Path) -> dict[str, list[int]]:
    """Updates in which a warning was active, by task."""
    marks: dict[str, list[int]] = {}
    if path.is_file():
        with path.open(encoding="utf-8") as file:
            for line in map(json.loads, file):
                if line.get("window_warnings"):
                    marks.setdefault(line["task"], []).append(line["images"])
    return marks


def _warnings(path: Path) -> list[str]:
    """The log's warnings; one that a resumed run has repeated stands there once."""
    found = (WARNING.match(line) for line in _text(path).splitlines())
    return list(dict.fromkeys(match[1] for match in found if match))
