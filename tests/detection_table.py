"""Which harm the monitor finds, and what it saves: the table of docs/monitoring.md.

python tests/detection_table.py runs/detection --seeds 0 1 2 --jobs 2

Every row is a way to adapt digits, or with ``--config`` other images, with ``monitor.action`` warn and, where that has
warned, rollback and stop: about 70 runs, most of 25 s on one core. Finished runs are not repeated.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

from safetensors.torch import load_file

from dusa_ignite.config import load_config
from dusa_ignite.models.weights import locate, save_weights
from dusa_ignite.results.rows import read_csv
from dusa_ignite.utils.shipped import locate_config

TASKS = "data.corruptions=[gaussian_noise, fog, pixelate]"
ROWS = {
    "right guide, rate x 1": [],
    "guide's classes permuted": ["transformer.checkpoint={permuted}"],
    "untrained guide": ["transformer.checkpoint=random"],
    "rate x 10": ["optimizer.lr={ten}"],
    "rate x 100": ["optimizer.lr={hundred}"],
    "wrong view (64 pixels)": ["classifier.image_size=64"],
    "labels in bursts": ["setting=correlated"],
    "batch of 1": ["data.batch_size=1", "optimizer.lr=1.0e-5", "optimizer.transformer_lr=3.0e-5"],
    "long stream, weak shifts": ["setting=mixed", "data.corruptions=all", "data.severities=[1]"],
    "contrast": ["data.corruptions=[contrast]"],
}
ACTIONS = ("warn", "rollback", "stop")


WARNING = re.compile(
    r" monitor: (?P<task>[^:]+), update (?P<update>\d+): (?P<sign>guide|collapse|vote|skipped): (?!well)"
)


def main() -> None:
    """Run what has not been run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, one thread each")
    parser.add_argument("--limit", type=int, default=None, help="images per task, for a quick try")
    parser.add_argument(
        "--config", default="digits", help="with DUSA's usual rate; its corruptions are those of digits"
    )
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="ROW", help="some of them")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    config = load_config(locate_config(given.config))
    rate = config.optimizer.lr
    permuted = permuted_guide(given.folder, checkpoint=config.transformer.checkpoint)

    def adapt_all(run: tuple[str, int]) -> None:
        row, seed = run
        for action in ACTIONS:
            if action == "warn" or first_warnings(given.folder / name(row, "warn", seed)):
                rates = {"ten": 10 * rate, "hundred": 100 * rate}
                options = [TASKS, *(override.format(permuted=permuted, **rates) for override in ROWS[row])]
                options += [] if given.limit is None else [f"data.limit={given.limit}"]
                adapt(given.folder, row, action, seed, config=given.config, options=options)

    with ThreadPoolExecutor(given.jobs) as pool:
        list(pool.map(adapt_all, product(given.rows, given.seeds)))
    print(table(given.folder, given.rows, given.seeds))


def permuted_guide(folder: Path, *, checkpoint: str) -> Path:
    """The guide, every class with the next one's embedding."""
    path = folder / "permuted.safetensors"
    weights = load_file(locate(checkpoint, key="transformer.checkpoint", embedded="transformer").files[0])
    embeddings = weights["y_embedder.embedding_table.weight"]  # the last row stands for no class
    last = len(embeddings) - 1
    weights["y_embedder.embedding_table.weight"] = embeddings[[*range(1, last), 0, last]]
    save_weights(weights, path)
    return path


def adapt(folder: Path, row: str, action: str, seed: int, *, config: str, options: list[str]) -> None:
    """One run, unless it is finished."""
    overrides = [
        f"output_dir={folder}",
        f"name={name(row, action, seed)}",
        f"seed={seed}",
        f"monitor.action={action}",
        "run.num_threads=1",
        "run.precision=float32",
        *options,
    ]
    command = [sys.executable, "-m", "dusa_ignite", "adapt", "--config", config, "--resume", *overrides]
    subprocess.run(command, check=True, capture_output=True, text=True)
    print(f"done: {name(row, action, seed)}", file=sys.stderr)


def name(row: str, action: str, seed: int) -> str:
    """A run's name: letters and digits of its row, its action and seed."""
    return f"{re.sub(r'[^a-z0-9]+', '_', row.lower())}_{action}_{seed}"


def table(folder: Path, rows: list[str], seeds: list[int]) -> str:
    """A line per row and task: source and gains in percent, a number per seed, and the first warnings."""
    lines = ["| run | task | source | gain | first warning after images | gain with rollback | gain with stop |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        runs = {action: [folder / name(row, action, seed) for seed in seeds] for action in ACTIONS}
        for action, paths in runs.items():  # where nothing was warned of, nothing was done about it
            runs[action] = [path if path.exists() else runs["warn"][i] for i, path in enumerate(paths)]
        results = {action: [results_of(path) for path in paths] for action, paths in runs.items()}
        for task in results["warn"][0]:
            source = 100 * results["warn"][0][task]["source_top1"]
            gains = {action: [gain(result[task]) for result in results[action]] for action in ACTIONS}
            warnings = [first_warnings(path).get(task, "-") for path in runs["warn"]]
            cells = [row, task, f"{source:.1f}", shown(gains["warn"]), " / ".join(warnings)]
            lines.append("| " + " | ".join([*cells, shown(gains["rollback"]), shown(gains["stop"])]) + " |")
    return "\n".join(lines)


def results_of(run: Path) -> dict[str, dict[str, float]]:
    """A run's rows by task."""
    return {row["task"]: row for row in read_csv(run / "results.csv") if row["task"] != "mean"}


def gain(row: dict[str, float]) -> float:
    """Points above the source model."""
    return 100 * (row["top1"] - row["source_top1"])


def shown(gains: list[float]) -> str:
    """A number per seed."""
    return " / ".join(f"{value:+.1f}" for value in gains)


def first_warnings(run: Path) -> dict[str, str]:
    """By task: the sign that was warned of first, and after how many images."""
    images = {line["iteration"]: line["images"] for line in map(json.loads, (run / "metrics.jsonl").open())}
    found: dict[str, str] = {}
    for line in (run / "log.txt").read_text().splitlines():
        if match := WARNING.search(line):
            found.setdefault(match["task"], f"{match['sign']} {images[int(match['update'])]}")
    return found


if __name__ == "__main__":
    main()
