"""What a report shows of a run, read from the run's folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from dusa_ignite.data.segmentation.label_maps import UNKNOWN
from dusa_ignite.results import files
from dusa_ignite.results.digest import Counts, Digest, digest
from dusa_ignite.results.label_pictures import LabelPictures
from dusa_ignite.results.pixel_digest import digest_pixels
from dusa_ignite.results.rows import Row, read_csv
from dusa_ignite.results.score import Score, score_of
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
        maps: of the images that a run which segments shows, likewise.
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
    maps: Mapping[tuple[str, int], LabelPictures] = MappingProxyType({})

    @property
    def tasks(self) -> list[Row]:
        """The rows without the mean."""
        return [row for row in self.rows if row["task"] != "mean"]

    @property
    def mean(self) -> Row:
        """The row ``mean``; empty where there is none."""
        return next((row for row in self.rows if row["task"] == "mean"), {})

    @property
    def score(self) -> Score:
        """By which the run is judged."""
        return score_of(self.mean)

    @property
    def labelled(self) -> bool:
        """Whether there is an accuracy."""
        return self.score.column in self.mean

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
    made_of = _json(folder / files.RUN)
    warnings = _warnings(folder / files.LOG)
    return Content(
        name=folder.resolve().name,
        rows=rows,
        digest=_digest(folder / files.PREDICTIONS, images, made_of),
        marks=_marks(folder / files.UPDATES),
        warnings=warnings[:MOST_WARNINGS],
        num_warnings=len(warnings),
        summary=_json(folder / files.SUMMARY) if summary is None else summary,
        made_of=made_of,
        config=_text(folder / files.CONFIG),
        pictures=pictures or {},
    )


def _digest(path: Path, images: Mapping[str, int], made_of: Mapping[str, Any]) -> Digest:
    """Of predictions of images, or of pixels, as the header says."""
    if not path.is_file():
        return Digest({}, Counts(), [], 0)
    with path.open(encoding="utf-8") as file:
        of_pixels = "counts" in file.readline().strip().split(",")
    if of_pixels:
        names = (made_of.get("classes") or {}).get("names") or ()
        return digest_pixels(path, images=images, num_classes=len(names) or UNKNOWN)
    return digest(path, images=images)


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
