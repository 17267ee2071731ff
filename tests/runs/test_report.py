"""report.html is in a run's folder, and a run ends well without it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.files import CONFIGS

from dusa_ignite.config import load_config
from dusa_ignite.runs import report
from dusa_ignite.runs.adapt import adapt


def run(output: Path, *overrides: str) -> Path:
    options = ["data.corruptions=[contrast]", "data.limit=64", "run.precision=float32", f"output_dir={output}"]
    adapt(0, load_config(CONFIGS / "digits.yaml", [*options, "name=run", "optimizer.lr=0.03", *overrides]))
    return output / "run"


def test_a_run_writes_its_report(tmp_path: Path) -> None:
    text = (run(tmp_path) / "report.html").read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert "method dusa · setting fully · seed 2024" in text
    assert "peak memory, host" in text
    assert text.count("data:image/png;base64,") == text.count("<figure>") > 0  # every changed image has its picture


def test_changed_images_are_the_same_in_every_run(tmp_path: Path) -> None:
    texts = [(run(tmp_path / name) / "report.html").read_text() for name in "ab"]
    images = [text[text.index("Images that have changed") : text.index("What it cost")] for text in texts]
    assert images[0] == images[1]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (ZeroDivisionError("x"), "ZeroDivisionError"),
    ],
)
@pytest.mark.parametrize("part", ["run_page", "read_content", "write_text"])
def test_a_report_that_fails_costs_the_run_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, error: Exception, said: str
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(report, part, fail)
    folder = run(tmp_path, "method={name: source}")
    assert json.loads((folder / "summary.json").read_text())["tasks"] == 1
    assert not (folder / "report.html").exists()
    log = (folder / "log.txt").read_text()
    assert f"{folder / 'report.html'}: not written, the run goes on: " in log
    assert said in log
