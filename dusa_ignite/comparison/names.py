"""Short names of tasks, so that a table with a column for each fits on a page."""

from __future__ import annotations

from collections.abc import Sequence

PAPER = {  # the columns of the DUSA paper's tables
    "gaussian_noise": "gauss",
    "shot_noise": "shot",
    "impulse_noise": "impul",
    "defocus_blur": "defoc",
    "glass_blur": "glass",
    "motion_blur": "motion",
    "zoom_blur": "zoom",
    "snow": "snow",
    "frost": "frost",
    "fog": "fog",
    "brightness": "brit",
    "contrast": "contr",
    "elastic_transform": "elastic",
    "pixelate": "pixel",
    "jpeg_compression": "jpeg",
}
SHORT = {**PAPER, "gaussian_blur": "blur"}


def short_names(tasks: Sequence[str]) -> dict[str, str]:
    """``gaussian_noise/5`` -> ``gauss``; the severity is kept where tasks differ in it."""
    parts = {task: task.partition("/") for task in tasks}
    same_severity = len({severity for _, _, severity in parts.values()}) == 1
    return {
        task: SHORT.get(name, name) + ("" if same_severity else slash + severity)
        for task, (name, slash, severity) in parts.items()
    }
