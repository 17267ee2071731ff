"""Classification: one class per image.

Labels (B,), -1 = unknown; logits (B, C); top-1, top-5 and calibration; a line of text per prediction; classifiers for
timm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dusa_ignite.handlers import ClassifierExport, PredictionLog, task_metrics
from dusa_ignite.models import Classifier
from dusa_ignite.problems.problem import Problem
from dusa_ignite.results import files


def predictions(folder: Path, *, class_names: Sequence[str], path_of: Callable[[str, int], str]) -> PredictionLog:
    """Class, confidence, top five and the guide's errors."""
    return PredictionLog(folder / files.PREDICTIONS, class_names=class_names, path_of=path_of)


def export(folder: Path, classifier: Classifier, *, class_names: Sequence[str], kind: str) -> ClassifierExport:
    """Weights, and a folder that timm loads."""
    return ClassifierExport(folder / files.EXPORTS, classifier, class_names=class_names, onnx=kind == "onnx")


CLASSIFICATION = Problem("classification", metrics=task_metrics, predictions=predictions, export=export)
