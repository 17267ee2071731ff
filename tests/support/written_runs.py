"""Finished runs that nobody has computed: predictions are written down, results follow from them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dusa_ignite.config import load_config, to_yaml
from dusa_ignite.results import pixel_predictions, predictions
from dusa_ignite.results.rows import write_csv
from dusa_ignite.segmentation.scores import mean_iou
from dusa_ignite.utils.format import FORMAT_VERSION
from support.files import ROOT

DIGITS = ROOT / "configs" / "digits.yaml"
SEGMENTS = Path(__file__).parent / "segments.yaml"  # of two classes, a and b

Lines = Callable[[str, int], tuple[Any, ...]]


def hits(text: str) -> list[bool]:
    """``"++-"`` -> right, right, wrong."""
    return [character == "+" for character in text]


def pixel_counts(image: str, *, num_classes: int = 2) -> np.ndarray:
    """(3, C) right, labelled and predicted pixels, of labels and predictions ``"ab.:abb"``; ``.`` = unknown."""
    counts = np.zeros((3, num_classes), dtype=np.int64)
    for label, predicted in zip(*image.split(":"), strict=True):
        if label != ".":
            counts[0, ord(label) - ord("a")] += label == predicted
            counts[1, ord(label) - ord("a")] += 1
            counts[2, ord(predicted) - ord("a")] += 1
    return counts


def write_run(
    folder: Path,
    tasks: Mapping[str, str],
    *,
    method: str = "source",
    seed: int = 0,
    order: Sequence[int] | None = None,
    speed: float = 200.0,
    overrides: Sequence[str] = (),
    config: Path = DIGITS,
    **made_of: object,
) -> Path:
    """Write the files of a run.

    Args:
        folder: of the run.
        tasks: by name, ``+`` and ``-`` for the images with index 0, 1, ...
        order: in which the images came; None = by index.
        speed: images per second.
        overrides: of the config.
        made_of: further content of run.json.
    """

    def line(task: str, index: int) -> tuple[Any, ...]:
        predicted = 3 if hits(tasks[task])[index] else 4
        return (task, index, "", 3, "three", predicted, "", "0.900000", "", "", "", "")

    scores = {task: {"top1": sum(hits(text)) / len(text), "ece": 0.25} for task, text in tasks.items()}
    options = [*overrides, f"method.name={method}", f"seed={seed}"]
    write_config(folder, config, options)
    write_predictions(folder, tasks, order=order, columns=predictions.COLUMNS, line=line)
    write_results(folder, {task: (len(tasks[task]), row) for task, row in scores.items()}, speed=speed)
    return write_rest(folder, seed=seed, made_of=made_of)


def write_segmentation_run(
    folder: Path,
    tasks: Mapping[str, Sequence[str]],
    *,
    method: str = "source",
    seed: int = 0,
    order: Sequence[int] | None = None,
    speed: float = 2.0,
    overrides: Sequence[str] = (),
    config: Path = SEGMENTS,
    **made_of: object,
) -> Path:
    """Likewise, a run that segments.

    Args:
        tasks: by name, the images with index 0, 1, ..., see :func:`pixel_counts`.
    """

    def line(task: str, index: int) -> tuple[Any, ...]:
        counts = pixel_predictions.counts_text(pixel_counts(tasks[task][index]))
        return (task, index, "", f"predictions/{task}/{index}.png", "0.900000", "", counts, "")

    write_config(folder, config, [*overrides, f"method.name={method}", f"seed={seed}"])
    write_predictions(folder, tasks, order=order, columns=pixel_predictions.COLUMNS, line=line)
    scores = {}
    for task, images in tasks.items():
        counts = sum(pixel_counts(image) for image in images)
        scores[task] = (len(images), {"miou": float(mean_iou(counts))})
    write_results(folder, scores, speed=speed)
    return write_rest(folder, seed=seed, made_of=made_of)


def write_config(folder: Path, config: Path, options: Sequence[str]) -> None:
    """The config, as of a run that may be resumed."""
    folder.mkdir(parents=True)
    placed = [f"name={folder.name}", "resume=auto", f"output_dir={json.dumps(str(folder.parent))}"]
    (folder / "config.yaml").write_text(to_yaml(load_config(config, [*options, *placed])))


def write_predictions(
    folder: Path, tasks: Mapping[str, Any], *, order: Sequence[int] | None, columns: Sequence[str], line: Lines
) -> None:
    """A line per image of every task, in this order."""
    with (folder / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for task, images in tasks.items():
            writer.writerows(line(task, index) for index in order or range(len(images)))


def write_results(folder: Path, scores: Mapping[str, tuple[int, dict[str, float]]], *, speed: float) -> None:
    """Rows of so many images, with these scores."""
    write_csv(
        folder / "results.csv",
        [
            {
                "task": task,
                "images": images,
                **row,
                "seconds": images / speed,
                "images_per_second": speed,
                "skipped_updates": 1,
            }
            for task, (images, row) in scores.items()
        ],
    )


def write_rest(folder: Path, *, seed: int, made_of: Mapping[str, object]) -> Path:
    """What says that it is finished."""
    (folder / "run.json").write_text(json.dumps({"format_version": FORMAT_VERSION, **made_of}))
    (folder / "summary.json").write_text(json.dumps({"peak_memory_bytes": {"host": 2**29 * (seed + 1)}}))
    return folder
