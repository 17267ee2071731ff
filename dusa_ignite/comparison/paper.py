"""The paper's results on ImageNet-C and ADE20K-C, and finished runs beside them.

``assets/paper_tables.csv`` holds tables 1 to 3 of M. Li et al., "Exploring Structured Semantic Priors Underlying
Diffusion Score for Test-time Adaptation", NeurIPS 2024, arXiv 2501.00873, at severity 5: top-1 in percent on ImageNet-C
(tables 1 and 2), and mIoU in percent of segmentation on ADE20K-C (table 3).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from dusa_ignite.comparison.names import PAPER
from dusa_ignite.comparison.tables import console_table
from dusa_ignite.config import Config, load_config
from dusa_ignite.errors import DataError
from dusa_ignite.results import files
from dusa_ignite.results.rows import read_csv
from dusa_ignite.results.score import MIOU, TOP1, Score
from dusa_ignite.runs.folder import is_finished
from dusa_ignite.segmentation.load_segmenter import is_segmenter_name

TITLE = (
    "Top-1 (%) on ImageNet-C (tables 1 and 2) and mIoU (%) on ADE20K-C (table 3), severity 5. Paper: Li et al., "
    "NeurIPS 2024, arXiv 2501.00873."
)
SEVERITY = 5
COLUMNS = tuple(PAPER.values())


class Benchmark(NamedTuple):
    """What tables are about, and what the paper's words are in a run's files.

    Attributes:
        title: of the data, in messages.
        data: ``data.name``.
        score: column of the results.
        images: per corruption, in the paper.
        models: by the paper's name, what tells them in ``classifier.name``, see :func:`_is_model`.
        methods: by the paper's name, ``method.name``.
    """

    title: str
    data: str
    score: Score
    images: int
    models: Mapping[str, str]
    methods: Mapping[str, str]


IMAGENET_C = Benchmark(
    "ImageNet-C",
    data="imagenet_c",
    score=TOP1,
    images=50_000,
    models={"ResNet50-GN": "resnet50_gn", "ViT-B/16": "vit_base_patch16_224", "ConvNeXt-L": "convnext_large"},
    methods={
        "Source": "source",
        "Tent": "tent",
        "CoTTA": "cotta",
        "EATA": "eata",
        "SAR": "sar",
        "RoTTA": "rotta",
        "Diffusion-TTA": "diffusion_tta",
        "DUSA": "dusa",
        "DUSA-U": "dusa_u",
    },
)
ADE20K_C = Benchmark(
    "ADE20K-C",
    data="ade20k_c",
    score=MIOU,
    images=2_000,
    models={"SegFormer-B5": "segformer-b5"},
    methods={
        "Source": "source",
        "BN Adapt": "bn",
        "Tent": "tent",
        "CoTTA": "pixel_cotta",
        "DUSA": "window_dusa",
    },
)
BENCHMARKS = (IMAGENET_C, ADE20K_C)
TABLES = {  # the paper's, and the setting they are about
    "1 fully": (IMAGENET_C, "fully"),
    "2 continual": (IMAGENET_C, "continual"),
    "3 ADE20K-C mIoU": (ADE20K_C, "fully"),
}


class PaperRow(NamedTuple):
    """A line of a table: scores in percent by short corruption name, and their ``avg``."""

    table: str
    model: str
    method: str
    scores: dict[str, float]


class Run(NamedTuple):
    """A finished run: its folder, config, and scores in percent as in :class:`PaperRow`, as far as it has them."""

    folder: Path
    config: Config
    benchmark: Benchmark
    scores: dict[str, float]
    images: int  # the fewest of a corruption


def paper_rows() -> list[PaperRow]:
    """Tables 1 to 3."""
    text = (resources.files("dusa_ignite") / "assets" / "paper_tables.csv").read_text(encoding="utf-8")
    return [
        PaperRow(row["table"], row["model"], row["method"], {name: float(row[name]) for name in (*COLUMNS, "avg")})
        for row in csv.DictReader(text.splitlines())
        if row["table"] in TABLES
    ]


def compare_with_paper(folders: Sequence[Path]) -> str:
    """Tables 1 to 3, each line followed by the runs of that model, setting and method, and how far they lie from it.

    Args:
        folders: of finished runs on ImageNet-C or ADE20K-C, or of comparisons, which hold them; those of a comparison
            that are not in the tables are named below them.

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
    texts = [TITLE]
    for table, model in dict.fromkeys((row.table, row.model) for row in rows):
        grid = [[f"{table}, {model}", *COLUMNS, "avg"]]
        for row in rows:
            if (row.table, row.model) == (table, model):
                grid.append([row.method, *(f"{row.scores[name]:.1f}" for name in (*COLUMNS, "avg"))])
                for run in found.get((table, model, row.method), []):
                    grid += _beside(row, run)
        texts.append(console_table(grid))
    return "\n\n".join([*texts, *left_out])


def _beside(row: PaperRow, run: Run) -> list[list[str]]:
    """A run's numbers, and the paper's subtracted from them."""
    names, theirs, ours = (*COLUMNS, "avg"), row.scores, run.scores
    label = f"  {run.folder.name}" + (f" ({run.images} images)" if run.images != run.benchmark.images else "")
    shown = [f"{ours[name]:.1f}" if name in ours else "-" for name in names]
    gaps = [f"{round(ours[name] - theirs[name], 1) + 0.0:+.1f}" if name in ours else "-" for name in names]
    return [[label, *shown], ["    minus paper", *gaps]]


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
    for benchmark in BENCHMARKS:
        column = benchmark.score.column
        known = {task: short for task, short in tasks.items() if column in rows.get(task, {})}
        if benchmark.data == config.data.name and known:
            break
    else:
        titles = " or ".join(benchmark.title for benchmark in BENCHMARKS)
        raise DataError(f"{folder}: not a run on {titles} at severity {SEVERITY} (data {config.data.name})")
    scores = {short: 100 * rows[task][column] for task, short in known.items()}
    if len(scores) == len(COLUMNS):
        scores["avg"] = sum(scores.values()) / len(scores)
    return Run(folder, config, benchmark, scores, images=int(min(rows[task]["images"] for task in known)))


def _place(run: Run) -> tuple[str, str, str]:
    """The line of the paper that a run belongs to."""
    config, benchmark = run.config, run.benchmark
    given = (benchmark, config.setting)
    table = next((table for table, about in TABLES.items() if about == given), None)
    model = next((model for model, word in benchmark.models.items() if _is_model(config.classifier.name, word)), None)
    method = next((method for method, name in benchmark.methods.items() if name == config.method.name), None)
    if table is None or model is None or method is None:
        words = ", ".join(f"{word} = {model}" for model, word in benchmark.models.items())
        told = "" if model else f" (classifier.name tells the model: {words})"
        what = f"setting {config.setting}, {config.classifier.name}, {config.method.name} on {benchmark.title}"
        raise DataError(f"{run.folder}: the paper has no line for {what}{told}")
    line = (table, model, method)
    if line not in {(row.table, row.model, row.method) for row in paper_rows()}:
        raise DataError(f"{run.folder}: table {table} of the paper has no {method} with {model}")
    return line


def _is_model(name: str, word: str) -> bool:
    """Whether a classifier's name is a model's.

    A timm name may go on behind a dot with the weights it is pinned to. A folder or hub id of transformers has the
    model's name anywhere in it, ``transformers:nvidia/segformer-b5-finetuned-ade-640-640``: which folder of a download
    is given is the user's affair.
    """
    if is_segmenter_name(name):
        return word in name.lower().replace("_", "-")
    return name.partition(".")[0] == word
