"""Canvases, their label maps, and those that two runs predicted, as one picture.

    python tests/draw_maps.py runs/shapes_source runs/shapes docs/segmentation_maps.png

Both runs are on the data set ``canvases``, with the same tasks and images. A row per task, of its first image in the
order of the stream; columns: image, label map, first run, second run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from dusa_ignite.config import load_config
from dusa_ignite.results import files
from dusa_ignite.results.label_pictures import coloured
from dusa_ignite.results.predictions import read_columns
from dusa_ignite.runs.assemble import build_tasks

ZOOM, GAP = 2, 4  # times, pixels


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path, nargs=2, help="folders of finished runs")
    parser.add_argument("picture", type=Path, help="PNG file to write")
    given = parser.parse_args()
    tasks = {task.name: task.dataset for task in build_tasks(load_config(given.runs[0] / files.CONFIG))}
    places = [
        {
            (task, int(index)): place
            for task, index, place in read_columns(run / files.PREDICTIONS, ("task", "index", "map"))
        }
        for run in given.runs
    ]
    rows = []
    for task, dataset in tasks.items():
        index = min(index for name, index in places[0] if name == task)
        image, labels = dataset[index]
        maps = [np.array(Image.open(run / known[task, index])) for run, known in zip(given.runs, places, strict=True)]
        shown = [image, *(coloured(one) for one in (np.asarray(labels), *maps))]
        rows.append(np.concatenate([framed(one.permute(1, 2, 0).numpy()) for one in shown], axis=1))
    half = (len(rows) + 1) // 2
    columns = [np.concatenate(part) for part in (rows[:half], rows[half:])]
    Image.fromarray(np.concatenate(columns, axis=1)).save(given.picture, optimize=True)


def framed(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) enlarged, with a white border."""
    return np.pad(pixels.repeat(ZOOM, 0).repeat(ZOOM, 1), ((GAP, GAP), (GAP, GAP), (0, 0)), constant_values=255)


if __name__ == "__main__":
    main()
