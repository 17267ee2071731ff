"""Segmentation: one class per pixel.

Labels are B maps (H, W), 255 = unknown, each of its own size; logits (B, C, h, w) at the segmenter's resolution; mIoU
and pixel accuracy, from counts that may be summed over images; a PNG file per prediction; segmenters for transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dusa_ignite.handlers.pixel_metrics import pixel_metrics
from dusa_ignite.handlers.pixel_predictions import PixelPredictionLog
from dusa_ignite.handlers.segmenter_export import SegmenterExport
from dusa_ignite.problems.problem import Problem
from dusa_ignite.results import files
from dusa_ignite.segmentation.segmenter import Segmenter


def predictions(folder: Path, *, class_names: Sequence[str], path_of: Callable[[str, int], str]) -> PixelPredictionLog:
    """Label maps, and what each image adds to the scores."""
    return PixelPredictionLog(folder / files.PREDICTIONS, maps=folder / files.MAPS, path_of=path_of)


def export(folder: Path, segmenter: Segmenter, *, class_names: Sequence[str], kind: str) -> SegmenterExport:
    """A folder that transformers loads."""
    return SegmenterExport(folder / files.EXPORTS, segmenter, class_names=class_names)


SEGMENTATION = Problem("segmentation", metrics=pixel_metrics, predictions=predictions, export=export)
