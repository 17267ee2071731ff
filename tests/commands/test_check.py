"""``dusa-ignite check``: what it finds, that it writes nothing, and that several broken things are each named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from dusa_ignite.commands.check import main
from dusa_ignite.config import load_config
from dusa_ignite.data.digits import CLASSES, task_half
from dusa_ignite.runs import check_output
from dusa_ignite.runs.adapt import adapt
from dusa_ignite.runs.check_report import Section
from dusa_ignite.runs.lock import RunLock
from dusa_ignite.utils.shipped import locate_config

QUICK = ("data.corruptions=[fog]", "data.limit=64", "data.clean_images=20")
SOURCE = ("method.name=source", *QUICK)
NAMES = "data.classes=[" + ", ".join(f"'{name}'" for name in CLASSES) + "]"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is written without being asked for would be seen."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four digits of each class as JPEG, in class folders."""
    images, labels = task_half()
    root = tmp_path / "photos"
    for label in range(10):
        (root / str(label)).mkdir(parents=True)
        for number, image in enumerate(images[labels == label][:4]):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(root / f"{label}/{number}.jpg", quality=95)
    return root


def of_folder(root: Path, *overrides: str) -> list[str]:
    return ["--config", "digits", "data.name=image_folder", f"data.root={root}", "data.clean_images=20", *overrides]


def checked(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> tuple[int, dict]:
    """The exit code, and the report as JSON, which is all that is on standard output."""
    code = main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def files_below(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", "digits", *QUICK]) == 0
    text = capsys.readouterr().out
    assert [paragraph.split("\n")[0] for paragraph in text.split("\n\n")] == [
        "config",
        "data",
        "classes",
        "memory",
        "classifier",
        "guide",
        "method",
        "clean images",
        "output",
        "ready",
    ]
    assert text.endswith("\n\nready\n")
    assert "  1 task of 898 images in all: fog/5\n  a run makes 2 updates\n" in text
    assert "  classifier.checkpoint: embedded: took 101 tensors\n  weights embedded: 207,778 parameters\n" in text
    assert "  runs/digits: a new run\n" in text
    assert list(Path().iterdir()) == []


def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = checked(capsys, ["--config", "digits", *QUICK])
    assert (code, report["ready"], report["problems"]) == (0, True, [])
    sections = report["sections"]
    assert sections["data"]["tasks"] == {"fog/5": 898}
    assert sections["data"]["updates"] == 2
    assert sections["classes"]["names"] == list(CLASSES)
    assert sections["clean images"]["images"] == 20
    assert sections["clean images"]["classifier"] > 0.9
    assert sections["output"]["start"] == "new"
    main(["--config", "digits", *QUICK])
    text = capsys.readouterr().out
    del sections["memory"]  # how much is free may have changed
    assert all(line in text for section in sections.values() for line in section["lines"])


def test_the_size_of_a_checkpoint(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The estimate is that of the file that the run writes, but for its table of contents."""
    arguments = ["--config", "digits", *QUICK, f"output_dir={tmp_path}", "checkpoint.every_updates=1"]
    _, report = checked(capsys, [*arguments, "checkpoint.keep=3"])
    output = report["sections"]["output"]
    assert output["needed_bytes"] == 4 * output["checkpoint_bytes"]
    adapt(0, load_config(locate_config("digits"), [*arguments[2:], "setting=continual"]))
    (file,) = (tmp_path / "digits/checkpoints").iterdir()
    assert output["checkpoint_bytes"] == pytest.approx(file.stat().st_size, rel=0.1)


def test_every_planted_fault_is_named(capsys: pytest.CaptureFixture[str], photos: Path) -> None:
    whole = (photos / "3/0.jpg").read_bytes()
    (photos / "3/0.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "4/note.jpg").write_text("not an image")
    (photos / "4/note.txt").write_text("not an image")
    for file in (photos / "7").iterdir():
        file.unlink()
    (photos / "7").rmdir()
    (photos / "8").rename(photos / "eight")
    before = files_below(photos)
    code, report = checked(capsys, of_folder(photos, NAMES, "transformer.hidden_size=64", "data.clean_minimum=1.0"))
    data, sections = report["sections"]["data"], report["sections"]
    assert code == 2
    assert not report["ready"]
    assert len(report["problems"]) == 3
    assert data["problems"][0].startswith(f"{photos}/eight: is not in data.classes")
    assert data["problems"][1].startswith("2 of 33 image files cannot be read; mend or remove them")
    assert data["unreadable"]["count"] == 2
    assert [file["path"] for file in data["unreadable"]["first"]] == [f"{photos}/3/0.jpg", f"{photos}/4/note.jpg"]
    assert "not an image" in data["unreadable"]["first"][1]["reason"]
    assert data["left_out"] == {"count": 1, "first": [f"{photos}/4/note.txt"]}
    assert sections["classes"]["without_images"] == ["7", "8"]
    assert "made for other sizes than the config's" in sections["guide"]["problems"][0]
    assert sections["method"]["lines"] == ["not made, as a model is missing"]
    assert sections["clean images"]["classifier"] == 1.0  # measured all the same
    assert files_below(photos) == before
    assert list(Path().iterdir()) == []


def test_unreadable_images_that_a_run_leaves_out_are_no_problem(
    capsys: pytest.CaptureFixture[str], photos: Path
) -> None:
    (photos / "4/0.jpg").write_bytes(b"")
    code, report = checked(capsys, of_folder(photos, "data.on_error=skip", "method.name=source"))
    assert code == 0
    assert report["sections"]["data"]["lines"][-1] == (
        "1 of 40 image files cannot be read and will be left out\n"
        f"{photos}/4/0.jpg: cannot read this image (the file is empty)"
    )


def test_only_the_first_ten_are_listed(capsys: pytest.CaptureFixture[str], photos: Path) -> None:
    for label in "0123":
        for file in (photos / label).iterdir():
            file.write_bytes(b"")
    code = main(of_folder(photos, "method.name=source"))
    text = capsys.readouterr().out
    assert code == 2
    assert text.count("the file is empty") == 10
    assert "\n    and 6 more\n" in text
    assert text.endswith("\n1 problem\n")


def test_classes_and_weights_that_do_not_fit_are_both_named(capsys: pytest.CaptureFixture[str], photos: Path) -> None:
    overrides = ["method.name=tent", "classifier.num_classes=12", "data.clean_minimum=0.5"]
    code, report = checked(capsys, of_folder(photos, *overrides))
    assert code == 2
    first, second = report["problems"]
    assert first.startswith("classifier.num_classes: 12, but data image_folder has 10")
    assert second.startswith("classifier.checkpoint: embedded: does not fit the model")
    assert report["sections"]["clean images"]["lines"][0].startswith("not measured")


def test_unlabelled_images(capsys: pytest.CaptureFixture[str], photos: Path) -> None:
    flat = photos / "0"
    code, report = checked(capsys, of_folder(flat, "method.name=source"))
    assert code == 0
    assert report["sections"]["classes"]["unlabelled_images"] == 4
    assert "no image has a label: there will be predictions, but no accuracy" in report["sections"]["classes"]["lines"]
    assert report["sections"]["guide"]["lines"] == ["method source needs none"]


def test_a_wrong_view_shows_in_the_clean_images(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--config", "digits", *SOURCE, "classifier.image_size=64", "data.clean_minimum=0.9"]
    code, report = checked(capsys, arguments)
    assert code == 2
    (problem,) = report["problems"]
    assert problem.startswith("data.clean_minimum: the classifier gets ")
    assert report["sections"]["clean images"]["classifier"] < 0.9


def test_no_data_and_no_weights(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, report = checked(
        capsys, of_folder(tmp_path / "gone", "classifier.checkpoint=gone.pt", "transformer.checkpoint=gone.pt")
    )
    assert code == 2
    problems = report["problems"]
    assert problems[0].startswith(f"{tmp_path}/gone: no such folder; data.root must name")
    assert problems[1].startswith("classifier.checkpoint: gone.pt: no such file")
    assert problems[2].startswith("transformer.checkpoint: gone.pt: no such file")
    assert len(problems) == 3


@pytest.mark.slow
def test_imagenet_c_names_every_missing_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "c/snow/5/n01440764").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "c/snow/5/n01440764/1.JPEG")
    overrides = [f"data.root={tmp_path / 'c'}", "data.corruptions=[fog, snow]", "data.severities=[4, 5]"]
    code, report = checked(
        capsys, ["--config", "convnext", *overrides, "method.name=source", "classifier.pretrained=false"]
    )
    assert code == 2
    assert report["sections"]["data"]["tasks"] == {"snow/5": 1}
    assert [problem.split(":")[0] for problem in report["problems"]] == [
        f"{tmp_path}/c/fog",
        f"{tmp_path}/c/snow/4",
    ]


def test_a_wrong_config_is_a_report_too(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = checked(capsys, ["--config", "digits", "data.batch_sze=3", "optimizer.lr=-1"])
    assert code == 2
    assert len(report["problems"]) == 2
    assert main(["--config", "nowhere"]) == 2
    assert capsys.readouterr().out.endswith("\n1 problem\n")


def test_what_a_run_would_do_with_the_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """New, finished, refused, replaced, gone on with, in use."""
    arguments = ["--config", "digits", *SOURCE, f"output_dir={tmp_path}"]
    adapt(0, load_config(locate_config("digits"), arguments[2:]))
    folder = tmp_path / "digits"
    before = files_below(folder)

    def start(*more: str) -> tuple[int, str]:
        capsys.readouterr()
        code, report = checked(capsys, [*arguments, *more])
        output = report["sections"]["output"]
        return code, [*output["problems"], *output["lines"]][0]

    assert start()[0] == 2
    assert start()[1].startswith(f"{folder}: holds a finished run; choose another name=..., or give --overwrite")
    assert start("--overwrite") == (0, f"{folder}: the outputs of an earlier run are replaced")
    assert start("--resume") == (0, f"{folder}: holds this run, finished; nothing is left to do")
    assert files_below(folder) == before
    (folder / "summary.json").unlink()
    before = files_below(folder)
    assert start("--resume") == (0, f"{folder}: the run goes on from checkpoint_2.pt")
    code, problem = start("--resume", "classifier.view.crop_pct=0.5")
    assert code == 2
    assert "cannot go on with another config" in problem
    assert files_below(folder) == before
    lock = RunLock(folder)
    lock.acquire()
    try:
        code, problem = start("--resume")
        assert code == 2
        assert problem == f"{folder}: is being written to by another process; wait for it, or stop it"
    finally:
        lock.release()
    assert start("--resume")[0] == 0


def test_a_folder_that_cannot_be_made(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, report = checked(capsys, ["--config", "digits", *SOURCE, f"output_dir={tmp_path}/file/runs"])
    assert code == 2
    assert report["problems"] == [f"{tmp_path}/file: is a file; choose another name=... or output_dir=..."]


def test_a_full_disk(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        free = 1000

    monkeypatch.setattr(check_output.shutil, "disk_usage", lambda folder: Full)
    code, report = checked(capsys, ["--config", "digits", *SOURCE])
    assert code == 2
    (problem,) = report["problems"]
    assert problem.startswith("output_dir: ")
    assert "are needed, and 1000 bytes are free at" in problem


def test_what_libraries_print_is_not_on_standard_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def loud(subject: object) -> Section:
        print("a library says hello")
        return Section("loud", ["said something"])

    monkeypatch.setattr("dusa_ignite.runs.check.SECTIONS", (loud,))
    assert main(["--config", "digits", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["sections"]["loud"] == {"lines": ["said something"], "problems": []}
    assert "hello" in output.err


def test_scores_over_present_classes_need_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "flat" / "a.png")
    options = [
        f"data.root={tmp_path / 'flat'}",
        "data.name=image_folder",
        "data.score_over=present",
        "method.name=source",
    ]
    assert main(["--config", "digits", "data.clean_root=null", *options]) == 2
    assert "problem: data.score_over" in capsys.readouterr().out
