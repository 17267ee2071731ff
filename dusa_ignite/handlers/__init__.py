"""Handlers for the adaptation engine; each has ``attach(engine)``."""

from dusa_ignite.handlers.atomic_saver import AtomicSaver
from dusa_ignite.handlers.checkpoint import RunCheckpoint
from dusa_ignite.handlers.export import ClassifierExport
from dusa_ignite.handlers.guards import NonFiniteGuard
from dusa_ignite.handlers.harm_monitor import HarmMonitor
from dusa_ignite.handlers.metrics import ExpectedCalibrationError, MetricSums, attach_metrics, task_metrics
from dusa_ignite.handlers.norm_ema import NormEMA
from dusa_ignite.handlers.prediction_log import PredictionLog
from dusa_ignite.handlers.progress import Progress
from dusa_ignite.handlers.score_over import ScoreOver
from dusa_ignite.handlers.task_reset import TaskReset
from dusa_ignite.handlers.task_results import TaskResults
from dusa_ignite.handlers.update_log import UpdateLog

__all__ = [
    "AtomicSaver",
    "ClassifierExport",
    "ExpectedCalibrationError",
    "HarmMonitor",
    "MetricSums",
    "NonFiniteGuard",
    "NormEMA",
    "PredictionLog",
    "Progress",
    "RunCheckpoint",
    "ScoreOver",
    "TaskReset",
    "TaskResults",
    "UpdateLog",
    "attach_metrics",
    "task_metrics",
]
