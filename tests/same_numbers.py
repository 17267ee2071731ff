"""Do two versions of the code compute the same numbers? Every digit of ``results.csv`` is compared, times apart.

    python tests/same_numbers.py record before.json     # with the one version
    python tests/same_numbers.py compare before.json    # with the other

runs all fourteen methods on digits at severity 5, and dusa and tent in all six settings, with one seed and one thread,
about ten minutes on one core. Numbers compare on one machine with the same packages only: sums differ elsewhere.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
METHODS = (
    "source", "bn", "tent", "shot", "eata", "sar", "cotta", "rotta", "deyo", "roid", "lame", "diffusion_tta", "dusa_u",
    "dusa",
)  # fmt: skip
SETTINGS = ("continual", "gradual", "mixed", "correlated", "episodic")
TIMES = ("seconds", "images_per_second")
Rows = list[dict[str, str]]


def runs() -> dict[str, list[str]]:
    """Every run's overrides, by its name."""
    every_method = {method: [f"method.name={method}"] for method in METHODS}
    every_setting = {
        f"{method}_{setting}": [
            f"method.name={method}",
            f"setting={setting}",
            "data.limit=96",
            *(["norm_ema=null"] * (setting == "episodic")),
            *(["data.severities=[1, 2, 3, 4, 5]", "data.corruptions=[fog, shot_noise]"] * (setting == "gradual")),
        ]
        for setting in SETTINGS
        for method in ("dusa", "tent")
    }
    return every_method | every_setting


def compute(name: str, overrides: list[str], folder: Path) -> Rows:
    """The rows of a run's results without their times."""
    main = [sys.executable, str(ROOT / "launch" / "main.py"), "--config", str(ROOT / "configs" / "digits.yaml")]
    placed = [f"output_dir={folder}", f"name={name}", "run.num_threads=1"]
    subprocess.run([*main, *placed, *overrides], check=True, capture_output=True)
    with (folder / name / "results.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


def main() -> int:
    """Record, or compare: exit code 1 where a digit differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("record", "compare"))
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    before: dict[str, Rows] = json.loads(options.file.read_text()) if options.what == "compare" else {}
    found: dict[str, Rows] = {}
    different = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, overrides in runs().items():
            found[name] = compute(name, overrides, Path(folder))
            line = f"{name:22} mean top-1 {float(found[name][-1]['top1']):.9f}"
            if before:
                same = found[name] == before[name]
                different += not same
                line += f"  before {float(before[name][-1]['top1']):.9f}  {'equal' if same else 'DIFFERENT'}"
            print(line, flush=True)
    if options.what == "record":
        options.file.write_text(json.dumps(found, indent=1) + "\n")
    else:
        print(f"{len(found)} runs, {sum(map(len, found.values()))} rows, {different} runs differ")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
