"""``dusa-ignite bench`` from end to end, with tiny models."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from dusa_ignite.commands.bench import main
from dusa_ignite.runs.bench.machine import Ceilings
from dusa_ignite.runs.bench.row import Row
from dusa_ignite.runs.bench.tables import variants_table

TINY = ["--config", "digits", "--sizes", "tiny", "--pixels", "32", "data.batch_size=2", "data.micro_batch_size=2"]


@pytest.fixture(autouse=True)
def torch_as_it_was() -> Any:
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


@pytest.mark.slow
def test_variants_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--variants", "textbook,shipped,sampled,broken:method.num_top=90", "--updates", "2"]
    files = ["--json", str(tmp_path / "b.json"), "--png", str(tmp_path / "b.png"), "--folder", str(tmp_path)]
    assert main([*TINY, *given, *files, "run.precision=float64", "checkpoint.background=false"]) == 0
    shown, told = capsys.readouterr()
    said_at_once = [re.sub(r"[\d.]+ images/s, \d+ s", "N", line)[:13] for line in told.splitlines()]
    assert [line for line in said_at_once if line.startswith(("ship", "text", "samp", "brok"))] == [
        "shipped: N so", "textbook: N s", "sampled: N so", "broken: overr",
    ]  # fmt: skip
    lines = shown.splitlines()
    assert lines[0].startswith("digits, dusa, size tiny, updates of 2 images; ")
    table = {line.split()[0]: line.split() for line in lines if line.split()}
    assert table["shipped"][-3:] == ["reference"] * 3
    assert table["sampled"][-2:] == ["by", "design"]
    assert "failed" in table["broken"]
    assert "num_top 90 + num_random 2 is more than there are classes" in table_note(lines, "broken: ")
    for part in ("classifier, with its gradient", "6 candidates, without a graph", "draws", "monitor, the source"):
        assert f"shipped: {part}" in shown

    content = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    by_name = {row["name"]: row for row in content["variants"]}
    assert list(by_name) == ["textbook", "shipped", "sampled", "broken"]
    assert [by_name[name]["guide_work"] for name in ("textbook", "shipped", "sampled")] == [18, 18, 8]
    assert [by_name[name]["updates"] for name in by_name] == [2, 2, 2, 0]
    assert by_name["shipped"]["tflop_per_image"] == by_name["textbook"]["tflop_per_image"]
    for name in ("textbook", "sampled"):
        assert by_name[name]["loss_difference"] < 1e-9
        assert by_name[name]["gradient_differences"]["classifier"] < 1e-6
    assert by_name["textbook"]["gradient_differences"]["transformer"] < 1e-6
    assert by_name["sampled"]["gradient_differences"]["transformer"] > 1e-3
    low, high = by_name["shipped"]["images_per_second"][1:]
    assert 0 < low <= by_name["shipped"]["images_per_second"][0] <= high
    assert set(content["ceilings"]["products"]) == {"float32", "bfloat16", "float64"}
    assert list(content["checkpoint"]) == ["checkpoint", "update waits: written and synced"]
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.json", "b.png"]


def table_note(lines: list[str], start: str) -> str:
    """The line below the table that begins so."""
    return next(line for line in lines if line.startswith(start))


@pytest.mark.slow
def test_other_methods_growth_and_a_single_update(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    files = ["--json", str(tmp_path / "b.json")]
    assert main([*TINY, "--updates", "1", "--grow", "batch", "--parts", "none", *files, "method.name=tent"]) == 0
    assert "part, alone" not in capsys.readouterr().out
    content = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in content["variants"]] == ["shipped"]
    assert content["variants"][0]["guide_work"] is None
    assert [(row["batch_size"], row["updates"]) for row in content["growth"]] == [(1, 1), (2, 1), (4, 1), (8, 1)]


def test_the_first_update_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "--updates", "0", "--variants", "shipped"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("shipped"))
    assert row.split()[1:3] == ["-", "-"]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_two_processes_share_a_batch(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [*TINY[:-2], "data.batch_size=3", "data.micro_batch_size=2", "run.precision=float64", "run.num_threads=1"]
    given += ["--variants", "shipped", "--seconds", "0"]
    assert main([*given, "--updates", "2", "--nproc", "2", "--json", str(tmp_path / "two.json")]) == 0
    shown = capfd.readouterr().out.splitlines()
    monkeypatch.setattr("dusa_ignite.runs.bench.bench.measure_ceilings", lambda *_, **__: Ceilings({}, 1.0))
    assert main([*given, "--updates", "0", "--parts", "none", "--json", str(tmp_path / "one.json")]) == 0
    two, one = (json.loads((tmp_path / name).read_text(encoding="utf-8")) for name in ("two.json", "one.json"))

    headings = [line for line in shown if line.startswith("digits, dusa, size tiny, updates of 3 images; ")]
    assert len(headings) == 1  # the first process's
    sums = r", cpu, 2 processes \(the sums of their gradients, alone: [\d.]+ ms, [\d.]+% of shipped's update\)$"
    assert re.search(sums, headings[0])
    assert (two["about"]["processes"], one["about"]["processes"]) == (2, 1)
    assert two["gradient_sums_seconds"] > 0
    assert one["gradient_sums_seconds"] is None
    assert two["parts"] == []
    (of_two,), (of_one,) = two["variants"], one["variants"]
    assert of_two["updates"] == 2
    assert of_two["images_per_second"][0] == pytest.approx(3 / of_two["seconds"][0])
    assert of_two["loss"] == pytest.approx(of_one["loss"], rel=1e-9)


def test_all_variants_failed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "--variants", "textbook", "method.name=dusa_u"]) == 2
    said = "textbook: textbook is the update of method.name=dusa with method.transformer_backward=all"
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--parts", "fast"], "error: --parts: fast is not among the variants; add it to --variants\n"),
        (["--nproc", "0"], "error: --nproc: 0 is not allowed; allowed: an integer >= 1\n"),
        (["--nproc", "2", "--parts", "shipped"], "error: --parts, --folder: measured in a single process only; "),
        (["--nproc", "2", "--folder", "/tmp"], "error: --parts, --folder: measured in a single process only; "),
        (["--nproc", "999"], "error: --nproc: 999 processes are too many for this machine's cores; allowed: 1 .. "),
        (["--seconds", "-1"], "error: --seconds and --updates must be 0 or more, --pixels 1 or more\n"),
        (["--json", "/no/such/folder/b.json"], "error: --json: /no/such/folder is no folder; make it first\n"),
        (["--variants", "fats"], "error: --variants: 'fats' is no variant; known: textbook, shipped, sampled, "),
        (["--grow", "candidates", "method.name=tent"], "error: --grow candidates: method.name=tent has none; "),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_is_measured(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*_: Any, **__: Any) -> Ceilings:
        raise AssertionError("measured")

    monkeypatch.setattr("dusa_ignite.runs.bench.bench.measure_ceilings", measure)
    assert main([*TINY, *given]) == 2
    assert capsys.readouterr().err.startswith(said)


def test_fractions_and_sizes_in_the_table() -> None:
    row = Row("mine", ("run.tf32=true",), batch_size=64, micro_batch_size=16, guide_work=18, precision="bfloat16")
    row.images_per_second, row.of_ceiling, row.peak_memory = (123.4, 99.9, 150.0), 0.321, 3 * 2**30
    row.loss_difference, row.gradient_differences = 0.0, {"classifier": 0.0123}
    cells = variants_table([row]).splitlines()[2].split()
    assert cells == [
        "mine",
        "123",
        "99.9",
        "..",
        "150",
        "-",
        "32%",
        "bfloat16",
        "18",
        "3.00",
        "-",
        "16",
        "equal",
        "1e-02",
        "-",
    ]
