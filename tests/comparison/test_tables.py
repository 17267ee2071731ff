"""Summaries of runs with known predictions, and the tables of them, character by character."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from support.written_runs import write_run

from dusa_ignite.comparison import tables
from dusa_ignite.comparison.finished import FinishedRun, differing_origins, read_run
from dusa_ignite.comparison.names import short_names
from dusa_ignite.comparison.plan import Plan, PlannedRun
from dusa_ignite.comparison.report import console, describe, latex, markdown, write_report
from dusa_ignite.comparison.statistics import Estimate
from dusa_ignite.comparison.summary import MethodSummary, summarise
from dusa_ignite.errors import DataError

GOOD, HALF = "+" * 16, "+-" * 8
RUNS = {  # 16 images per task, ten classes; by label and seed
    ("source", 0): {"gaussian_noise/5": HALF, "fog/5": HALF},
    ("source", 1): {"gaussian_noise/5": HALF, "fog/5": HALF},
    ("dusa_b", 0): {"gaussian_noise/5": GOOD, "fog/5": "+" * 12 + "-" * 4},  # falls in the last quarter
    ("dusa_b", 1): {"gaussian_noise/5": "-" + "+" * 15, "fog/5": "+" + "-" * 15},  # 1 of 16 is below chance
}


def written(folder: Path, **options: object) -> list[FinishedRun]:
    for number, ((label, seed), tasks) in enumerate(RUNS.items()):
        method = "source" if label == "source" else "dusa"
        target = folder / f"{label}_seed{seed}"
        write_run(target, tasks, method=method, seed=seed, speed=100.0 + 10 * number, **options)  # type: ignore[arg-type]
    return [read_run(folder / f"{label}_seed{seed}", label=label) for label, seed in RUNS]


@pytest.fixture
def runs(tmp_path: Path) -> list[FinishedRun]:
    return written(tmp_path)


@pytest.fixture
def summaries(runs: list[FinishedRun]) -> list[MethodSummary]:
    return summarise(runs, reference="source")


def test_summary(summaries: list[MethodSummary]) -> None:
    source, dusa = summaries
    assert source.scores["mean"] == (0.5, 0.0)
    assert dusa.seeds == (0, 1)
    # 16/16 and 15/16; 12/16 and 1/16; their means 14/16 and 8/16
    assert dusa.scores["gaussian_noise/5"] == pytest.approx(Estimate(31 / 32, 2**-0.5 / 16))
    assert dusa.scores["fog/5"] == pytest.approx(Estimate(13 / 32, 2**-0.5 * 11 / 16))
    assert dusa.scores["mean"] == pytest.approx(Estimate(22 / 32, 2**-0.5 * 6 / 16))
    assert dusa.images_per_second == pytest.approx(Estimate(125.0, 50**0.5))
    assert dusa.peak_memory == {"host": 2**30}  # the larger of half a GiB and one
    assert dusa.skipped_updates == 4  # one per task and seed
    assert dusa.collapsed == {"fog/5": 2}
    assert dusa.below_chance == {"fog/5": 1}
    assert source.flagged == set()
    assert source.differences is None
    assert dusa.differences is not None
    assert dusa.differences["gaussian_noise/5"].difference == 15 / 32
    assert dusa.differences["fog/5"].difference == -3 / 32
    assert dusa.differences["mean"].difference == 6 / 32


def test_work_of_the_guide(tmp_path: Path) -> None:
    """Six candidates, 3 passes' worth each with a graph; sampled 6 + 2; a frozen guide has no way back."""
    works = [
        ("dusa", [], 18.0),
        ("dusa", ["method.transformer_backward=sampled"], 8.0),
        ("dusa", ["transformer.trainable=false"], 6.0),
        ("tent", [], 0.0),
    ]
    for number, (method, overrides, expected) in enumerate(works):
        folder = write_run(tmp_path / f"run{number}", {"fog/5": GOOD}, method=method, overrides=overrides)
        assert read_run(folder, label=method).guide_work == expected, (method, overrides)


def test_nothing_below_chance_goes_unflagged(tmp_path: Path) -> None:
    """Source itself stands at 1 of 16: no collapse against it, but below chance."""
    tasks = {"fog/5": "-" * 15 + "+"}
    paths = [write_run(tmp_path / label, tasks, method=label) for label in ("source", "dusa")]
    for summary in summarise([read_run(path, label=path.name) for path in paths], reference="dusa"):
        assert summary.below_chance == {"fog/5": 1}
        assert tables.flag_text(summary, {"fog/5": "fog"}) == "below chance: fog"


def test_console_tables(summaries: list[MethodSummary]) -> None:
    assert tables.console_table(tables.score_grid(summaries, tables.CONSOLE)) == (
        "top-1 (%)     gauss         fog        mean\n"
        "---------  ---------  ----------  ----------\n"
        "source     50.0±0.0    50.0±0.0    50.0±0.0\n"
        "dusa_b     96.9±4.4   40.6±48.6!  68.8±26.5!"
    )
    lines = tables.console_table(tables.cost_grid(summaries, tables.CONSOLE, reference="source")).splitlines()
    assert lines[0] == "method   ECE (%)      minus source [95%]  images/s  guide work   GiB  skipped  collapse"
    assert lines[2] == "source  25.0±0.0                       -     105±7           -  1.00        4  -"
    start, interval, end = lines[3].partition("+18.75 [")
    assert interval
    assert start.split() == ["dusa_b", "25.0±0.0"]
    assert end.endswith("125±7          18  1.00        4  fog; below chance: fog (1 of 2 seeds)")


def test_markdown(summaries: list[MethodSummary]) -> None:
    assert tables.markdown_table(tables.score_grid(summaries, tables.MARKDOWN)) == (
        "| top-1 (%) | gauss | fog | mean |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| source | 50.0 ± 0.0 | **50.0** ± 0.0 | 50.0 ± 0.0 |\n"
        "| dusa\\_b | **96.9** ± 4.4 | 40.6 ± 48.6 **!** | **68.8** ± 26.5 **!** |"
    )
    text = markdown(summaries, ["A note."], reference="source", command="python compare.py")
    assert text.startswith("```bash\npython compare.py\n```\n\n| top-1")
    assert "| minus source | gauss | fog | mean |\n| --- | ---: | ---: | ---: |\n| dusa\\_b | +46.88 [" in text
    assert text.endswith("\n\n* A note.\n")


def test_latex(summaries: list[MethodSummary]) -> None:
    assert tables.latex_table(tables.score_grid(summaries, tables.LATEX)) == (
        "\\begin{tabular}{lrrr}\n"
        "\\toprule\n"
        "top-1 (\\%) & gauss & fog & mean \\\\\n"
        "\\midrule\n"
        "source & 50.0 $\\pm$ 0.0 & \\textbf{50.0} $\\pm$ 0.0 & 50.0 $\\pm$ 0.0 \\\\\n"
        "dusa\\_b & \\textbf{96.9} $\\pm$ 4.4 & 40.6 $\\pm$ 48.6$^{!}$ & \\textbf{68.8} $\\pm$ 26.5$^{!}$ \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}"
    )
    text = latex(summaries, ["A 95% note."], reference="source", command="python compare.py")
    assert text.startswith("% python compare.py\n% Needs \\usepackage{booktabs}.\n% A 95% note.\n\n\\begin{tabular}")


def test_escapes() -> None:
    assert tables.escape_latex(r"a_b&50%#{x}~^$\ ") == (
        r"a\_b\&50\%\#\{x\}\textasciitilde{}\textasciicircum{}\$\textbackslash{} "
    )
    assert tables.escape_markdown("a_b|*c*") == r"a\_b\|\*c\*"


def test_csv(summaries: list[MethodSummary]) -> None:
    source, dusa = csv.DictReader(tables.csv_table(summaries).splitlines())
    assert list(dusa)[:6] == [
        *("method", "seeds", "top1 gaussian_noise/5", "top1_std gaussian_noise/5"),
        *("top1 fog/5", "top1_std fog/5"),
    ]
    assert (dusa["method"], dusa["seeds"]) == ("dusa_b", "0 1")
    assert float(dusa["top1 fog/5"]) == 13 / 32
    assert float(dusa["difference mean"]) == 6 / 32
    assert dusa["collapsed"] == "fog/5:2"
    assert dusa["below_chance"] == "fog/5:1"
    assert dusa["peak_memory_host_bytes"] == str(2**30)
    assert dusa["peak_memory_gpu_bytes"] == ""
    assert source["difference mean"] == source["low mean"] == source["collapsed"] == ""


def test_one_seed_has_no_spread(runs: list[FinishedRun]) -> None:
    alone = summarise([run for run in runs if run.seed == 0], reference="source")
    assert tables.score_grid(alone, tables.CONSOLE)[2] == ["dusa_b", "100.0 ", "75.0!", "87.5!"]
    assert tables.score_grid(alone, tables.MARKDOWN)[2] == [
        *("dusa\\_b", "**100.0**", "**75.0** **!**", "**87.5** **!**"),
    ]
    assert next(csv.DictReader(tables.csv_table(alone).splitlines()))["top1_std mean"] == ""


def test_short_names() -> None:
    assert short_names(["gaussian_noise/5", "fog/5"]) == {"gaussian_noise/5": "gauss", "fog/5": "fog"}
    assert short_names(["fog/3", "fog/5"]) == {"fog/3": "fog/3", "fog/5": "fog/5"}
    assert short_names(["ward_a", "ward_b"]) == {"ward_a": "ward_a", "ward_b": "ward_b"}


def test_notes_say_what_was_run(runs: list[FinishedRun]) -> None:
    notes = describe(runs, reference="source")
    assert notes[0] == "digits, severity 5, setting fully, test_convnext; 16 labelled images per task."
    assert notes[1].startswith("Top-1, mean ± standard deviation over seeds 0, 1.")
    assert describe([run for run in runs if run.seed == 0], reference="source")[1].startswith("Top-1, seed 0.")


def test_runs_of_different_origin_are_noted(tmp_path: Path) -> None:
    one = written(tmp_path / "one", git_commit="a", weights_sha256={"classifier": "1"})
    assert differing_origins(one) == []
    other = written(tmp_path / "two", git_commit="b", weights_sha256={"classifier": "2"})
    assert differing_origins([*one, *other]) == [
        "The runs were made with 2 different commits of the code.",
        "The runs started from different weights of the classifier.",
    ]


def test_report_writes_everything(tmp_path: Path, runs: list[FinishedRun]) -> None:
    plan = Plan(tmp_path, "source", [PlannedRun(run.label, run.seed, run.config) for run in runs])
    text = write_report(plan, command="python compare.py")
    assert text == console(
        summarise(runs, reference="source"), describe(runs, reference="source"), folder=tmp_path, reference="source"
    )
    assert {path.name for path in tmp_path.glob("comparison.*")} == {
        f"comparison.{e}" for e in ("csv", "md", "tex", "png")
    }
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_order_does_not_matter(tmp_path: Path) -> None:
    tasks = {"fog/5": "+-+--+++"}
    one = read_run(write_run(tmp_path / "one", tasks), label="source")
    other = read_run(write_run(tmp_path / "two", tasks, method="dusa", order=[7, 5, 3, 1, 0, 2, 4, 6]), label="dusa")
    assert other.streams["fog/5"].index.tolist() == [7, 5, 3, 1, 0, 2, 4, 6]
    assert other.streams["fog/5"].sums[:, 0].tolist() == [1, 1, 0, 0, 1, 1, 0, 1]
    difference = summarise([one, other], reference="dusa")[0].differences
    assert difference is not None
    assert difference["fog/5"] == (0.0, 0.0, 0.0)


def test_what_is_no_finished_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: holds no finished run \(no summary.json\)"):
        read_run(tmp_path / "nowhere", label="x")
    folder = write_run(tmp_path / "run", {"fog/5": "+-"})
    (folder / "predictions.csv").write_text("task,index,label,predicted,confidence\nfog/5,0,-1,2,0.5\n")
    with pytest.raises(DataError, match="fog/5 has no labels"):
        read_run(folder, label="x")
    (folder / "predictions.csv").unlink()
    with pytest.raises(DataError, match=r"predictions.csv: missing"):
        read_run(folder, label="x")


def test_other_tasks_cannot_be_compared(tmp_path: Path) -> None:
    one = read_run(write_run(tmp_path / "one", {"fog/5": "+-"}), label="source")
    other = read_run(write_run(tmp_path / "two", {"snow/5": "+-"}, method="dusa"), label="dusa")
    with pytest.raises(DataError, match="has other tasks"):
        summarise([one, other], reference="dusa")


PRESENT = {"scored_over": {"over": "present", "classes": 10, "present": {"fog/5": 2}}}


def test_of_scores_over_the_present_classes_chance_is_theirs_and_the_table_says_so(tmp_path: Path) -> None:
    found = []
    for label in ("source", "dusa"):
        write_run(tmp_path / label, {"fog/5": "+---"}, method=label, **PRESENT)
        found.append(read_run(tmp_path / label, label=label))
    assert [summary.below_chance for summary in summarise(found, reference="dusa")] == [{"fog/5": 1}] * 2  # 1/4 < 1/2
    assert "Scored over the classes present in the task: 2 of 10." in describe(found, reference="dusa")


@pytest.mark.parametrize(
    ("made_of", "reason"),
    [
        (PRESENT, "were scored over different classes (all against present)"),
        ({"data_fingerprints": {"fog/5": "other"}}, "were run on different image files or labels (fog/5)"),
    ],
)
def test_runs_that_differ_in_what_is_measured_are_refused(
    tmp_path: Path, made_of: dict[str, object], reason: str
) -> None:
    write_run(tmp_path / "source", {"fog/5": "+---"}, data_fingerprints={"fog/5": "one"})
    write_run(tmp_path / "dusa", {"fog/5": "+---"}, method="dusa", **{"data_fingerprints": {"fog/5": "one"}} | made_of)
    found = [read_run(tmp_path / label, label=label) for label in ("source", "dusa")]
    with pytest.raises(DataError) as caught:
        summarise(found, reference="dusa")
    assert str(caught.value) == (
        f"{tmp_path / 'source'} and {tmp_path / 'dusa'} {reason}; they cannot be compared: run them again with "
        "--overwrite"
    )
