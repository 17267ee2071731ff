"""The paper's results on ImageNet-C, and finished runs beside them.

``assets/paper_tables.csv`` holds tables 1 to 3 of M. Li et al., "Exploring Structured Semantic Priors Underlying
Diffusion Score for Test-time Adaptation", NeurIPS 2024, arXiv 2501.00873: top-1 in percent at severity 5 (table 3: mIoU
of segmentation, which this package does not do).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from dusa_ignite.comparison.names import PAPER
from dusa_ignite.comparison.tables import console_table
from dusa_ignite.config import Config, load_config
from dusa_ignite.errors import DataError
from dusa_ignite.results import files
from dusa_ignite.results.rows import read_csv
from dusa_ignite.runs.folder import is_finished

SEVERITY = 5
IMAGES = 50_000  # per corruption, in the paper
TABLES = {"1 fully": "fully", "2 continual": "continual"}  # the paper's, and the setting they are about
MODELS = {"ResNet50-GN": "resnet50_gn", "ViT-B/16": "vit_base_patch16_224", "ConvNeXt-L": "convnext_large"}
METHODS = {
    "Source": "source",
    "Tent": "tent",
    "CoTTA": "cotta",
    "EATA": "eata",
    "SAR": "sar",
    "RoTTA": "rotta",
    "Diffusion-TTA": "diffusion_tta",
    "DUSA": "dusa",
    "DUSA-U": "dusa_u",
}
COLUMNS = tuple(PAPER.values())


class PaperRow(NamedTuple):
    """A line of table 1 or 2: top-1 in percent by short corruption name, and their ``avg``."""

    table: str
    model: str
    method: str
    top1: dict[str, float]


class Run(NamedTuple):
    """A finished run: its folder, config, and top-1 in percent as in :class:`PaperRow`, as far as it has them."""

    folder: Path
    config: Config
    top1: dict[str, float]
    images: int  # the fewest of a corruption


def paper_rows() -> list[PaperRow]:
    """Tables 1 and 2."""
    text = (resources.files("dusa_ignite") / "assets" / "paper_tables.csv").read_text(encoding="utf-8")
    return [
        PaperRow(row["table"], row["model"], row["method"], {name: float(row[name]) for name in (*COLUMNS, "avg")})
        for row in csv.DictReader(text.splitlines())
        if row["table"] in TABLES
    ]


def compare_with_paper(folders: Sequence[Path]) -> str:
    """Tables 1 and 2, each line followed by the runs of that model, setting and method, and how far they lie from it.

    Args:
        folders: of finished runs on ImageNet-C, or of comparisons, which hold them; those of a comparison that are not
            in the tables are named below them.

    Raises:
        DataError: a folder holds no finished run, or one that is not in the tables.
    """
    rows = paper_rows()
    found: dict[tuple[str, str, str], list[Run]] = {}
    left_out: list[str] = []
    for folder in folders:
        runs = _runs_in(folder)
        for run in runs:
            try:
                found.setdefault(_place(run), []).append(run)
            except DataError as error:
                if len(runs) == 1:
                    raise
                left_out.append(str(error))  # one of a comparison
    texts = ["Top-1 (%) on ImageNet-C, severity 5. Paper: Li et al., NeurIPS 2024, arXiv 2501.00873, tables 1 and 2."]
    for table, model in dict.fromkeys((row.table, row.model) for row in rows):
        grid = [[f"{table}, {model}", *COLUMNS, "avg"]]
        for row in rows:
            if (row.table, row.model) == (table, model):
                grid.append([row.method, *(f"{row.top1[name]:.1f}" for name in (*COLUMNS, "avg"))])
                for run in found.get((table, model, row.method), []):
                    grid += _beside(row, run)
        texts.append(console_table(grid))
    return "\n\n".join([*texts, *left_out])


def _beside(row: PaperRow, run: Run) -> list[list[str]]:
    """A run's numbers, and the paper's subtracted from them."""
    names = (*COLUMNS, "avg")
    label = f"  {run.folder.name}" + (f" ({run.images} images)" if run.images != IMAGES else "")
    ours = [f"{run.top1[name]:.1f}" if name in run.top1 else "-" for name in names]
    gaps = [f"{round(run.top1[name] - row.top1[name], 1) + 0.0:+.1f}" if name in run.top1 else "-" for name in names]
    return [[label, *ours], ["    minus paper", *gaps]]


def _runs_in(folder: Path) -> list[Run]:
    """The run in a folder, or those in its subfolders."""
    if is_finished(folder):
        return [_read(folder)]
    inner = sorted(summary.parent for summary in folder.glob(f"*/{files.SUMMARY}"))
    if not inner:
        raise DataError(f"{folder}: holds no finished run (no {files.SUMMARY}); give the folders of runs")
    return [_read(run) for run in inner]


def _read(folder: Path) -> Run:
    for name in (files.CONFIG, files.RESULTS):
        if not (folder / name).is_file():
            raise DataError(f"{folder / name}: missing; the run cannot be compared")
    config = load_config(folder / files.CONFIG)
    rows = {row["task"]: row for row in read_csv(folder / files.RESULTS)}
    tasks = {f"{name}/{SEVERITY}": short for name, short in PAPER.items()}
    known = {task: short for task, short in tasks.items() if "top1" in rows.get(task, {})}
    top1 = {short: 100 * rows[task]["top1"] for task, short in known.items()}
    if config.data.name != "imagenet_c" or not top1:
        raise DataError(f"{folder}: not a run on ImageNet-C at severity {SEVERITY} (data {config.data.name})")
    if len(top1) == len(COLUMNS):
        top1["avg"] = sum(top1.values()) / len(top1)
    return Run(folder, config, top1, images=int(min(rows[task]["images"] for task in known)))


def _place(run: Run) -> tuple[str, str, str]:
    """The line of the paper that a run belongs to."""
    config = run.config
    table = next((table for table, setting in TABLES.items() if setting == config.setting), None)
    architecture = config.classifier.name.partition(".")[0]
    model = next((model for model, name in MODELS.items() if name == architecture), None)
    method = next((method for method, name in METHODS.items() if name == config.method.name), None)
    if table is None or model is None or method is None:
        what = f"setting {config.setting}, {config.classifier.name}, {config.method.name}"
        raise DataError(f"{run.folder}: the paper has no line for {what}")
    line = (table, model, method)
    if line not in {(row.table, row.model, row.method) for row in paper_rows()}:
        raise DataError(f"{run.folder}: table {table} of the paper has no {method} with {model}")
    return line
