"""Whole runs with a user's own parts, which must be like those with the package's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from support.files import CONFIGS
from support.interruptions import interrupt_after
from support.own_parts import forget_imports, write_parts

from dusa_ignite.config import Config, load_config
from dusa_ignite.distributed.launch import launch
from dusa_ignite.errors import CheckpointError, ConfigError, Interrupted
from dusa_ignite.results.rows import read_csv
from dusa_ignite.runs.adapt import adapt
from dusa_ignite.runs.assemble_models import classifier_of, guide_of

DIGITS = (
    "data.limit=32",
    "data.clean_root=null",
    "data.batch_size=8",
    "data.corruptions=[fog, contrast]",
)  # two tasks of four updates
NORMS = ["classifier.trainable=norm", "optimizer.lr=0.003", "norm_ema=null"]


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, str]:
    return write_parts(tmp_path)


def configure(folder: Path, name: str, *overrides: str, data: Sequence[str] = DIGITS) -> Config:
    """The demo's config, on a small part of its data or other data."""
    common = ["run.num_threads=1", f"output_dir={folder}", f"name={name}"]
    return load_config(CONFIGS / "digits.yaml", [*common, *data, *overrides])


def run(folder: Path, name: str, *overrides: str, data: Sequence[str] = DIGITS) -> str:
    """A run's predictions."""
    adapt(0, configure(folder, name, *overrides, data=data))
    return predictions(folder / name)


def predictions(folder: Path) -> str:
    return (folder / "predictions.csv").read_text()


# Methods


def test_a_method_learns_resets_and_is_described(tmp_path: Path, parts: dict[str, str]) -> None:
    name = f"method.name={parts['method']}"
    both = run(tmp_path, "both", name, *NORMS)
    alone = run(tmp_path, "alone", name, *NORMS, "data.corruptions=[contrast]")
    lines = alone.splitlines()[1:]
    assert both.splitlines()[-len(lines) :] == lines  # what came before is forgotten, the method's own state included
    assert run(tmp_path, "other", name, *NORMS, "method.growth=0.0") != both
    plain = run(tmp_path, "tent", "method.name=tent", *NORMS)
    assert run(tmp_path, "same", name, *NORMS, "method.growth=0") == plain
    described = json.loads((tmp_path / "both" / "run.json").read_text())
    file = Path(parts["method"].rpartition(":")[0])
    assert described["own_parts"] == {parts["method"]: hashlib.sha256(file.read_bytes()).hexdigest()}
    assert load_config(tmp_path / "both" / "config.yaml") == configure(tmp_path, "both", name, *NORMS)
    assert json.loads((tmp_path / "both" / "summary.json").read_text())["method"] == parts["method"]


def interrupted(folder: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> None:
    """A run named ``run`` that stops after six of eight updates."""
    with monkeypatch.context() as patch:
        interrupt_after(6, patch)
        with pytest.raises(Interrupted):
            run(folder, "run", *overrides)
    forget_imports()  # the next process imports the file anew


def test_an_interrupted_and_resumed_run_equals_one_that_was_not(
    tmp_path: Path, parts: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = [f"method.name={parts['method']}", "setting=continual", *NORMS]
    whole = run(tmp_path, "whole", *overrides)
    interrupted(tmp_path, monkeypatch, *overrides)
    assert run(tmp_path, "run", *overrides, "resume=auto") == whole


def test_a_run_is_not_resumed_with_another_file(
    tmp_path: Path, parts: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = [f"method.name={parts['method']}", *NORMS]
    interrupted(tmp_path, monkeypatch, *overrides)
    file = Path(parts["method"].rpartition(":")[0])
    source = file.read_text()
    file.write_text(source + "\n# changed\n")
    with pytest.raises(CheckpointError) as caught:
        run(tmp_path, "run", *overrides, "resume=auto")
    assert str(caught.value) == (
        f"{tmp_path / 'run'}: cannot go on, this is not what the run began with: the file of {parts['method']}; put it "
        "back, or start again with --overwrite"
    )
    forget_imports()
    file.write_text(source)
    run(tmp_path, "run", *overrides, "resume=auto")
    assert (tmp_path / "run" / "summary.json").exists()


@pytest.mark.slow
def test_two_processes_do_what_one_does(tmp_path: Path, parts: dict[str, str]) -> None:
    data = [f"data={{name: {parts['data']}, batch_size: 6}}"]
    for name, nproc in (("one", 1), ("two", 2)):
        overrides = [f"method.name={parts['method']}", "run.precision=float64", *NORMS]
        assert launch(adapt, configure(tmp_path, name, *overrides, data=data), nproc=nproc) == 0
    assert json.loads((tmp_path / "two" / "run.json").read_text())["world_size"] == 2
    one, two = ([row["top1"] for row in read_csv(tmp_path / name / "results.csv")] for name in ("one", "two"))
    assert one == two
    assert sorted(predictions(tmp_path / "one").splitlines()) == sorted(predictions(tmp_path / "two").splitlines())


# Data sets


def test_a_data_set_with_loader_processes(tmp_path: Path, parts: dict[str, str]) -> None:
    def predict(name: str, workers: int) -> str:
        data = [f"data={{name: {parts['data']}, levels: 3, batch_size: 5, num_workers: {workers}}}"]
        return run(tmp_path, name, "method.name=tent", *NORMS, data=data)

    assert predict("loaders", 2) == predict("none", 0)
    assert [row["task"] for row in read_csv(tmp_path / "none" / "results.csv")] == [
        "noise/1",
        "noise/2",
        "noise/3",
        "mean",
    ]
    described = json.loads((tmp_path / "loaders" / "run.json").read_text())
    assert described["data_fingerprints"] == {f"noise/{n}": f"{n:064d}" for n in (1, 2, 3)}
    assert described["own_parts"].keys() == {parts["data"]}


# Classifiers


def test_a_classifier(tmp_path: Path, parts: dict[str, str]) -> None:
    overrides = [f"classifier.name={parts['classifier']}", "classifier.checkpoint=null", "classifier.image_size=null"]
    overrides += ["method.name=tent", *NORMS]
    wide = run(tmp_path, "wide", *overrides, "classifier.options={width: 8}")
    assert wide != run(tmp_path, "narrow", *overrides)
    assert wide == run(tmp_path, "again", *overrides, "classifier.options={width: 8}")
    described = json.loads((tmp_path / "narrow" / "run.json").read_text())
    assert described["own_parts"].keys() == {parts["classifier"]}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{cfg: false}", "classifier.name: {}: how its images are prepared is not known; give the module an attribute "
         "pretrained_cfg, a dict such as {{'input_size': (3, 224, 224), 'mean': (0.5, 0.5, 0.5), "
         "'std': (0.5, 0.5, 0.5)}}; missing: input_size, mean, std"),
        ("{outputs: 7}", "classifier.num_classes: 10, but {} returns logits of shape (2, 7) for two images"),
        ("{zzz: 7}", "classifier.name: {} fails (TypeError: build() got an unexpected keyword argument 'zzz'); it is "
         "called with classifier.options as keyword arguments"),
    ],
)  # fmt: skip
def test_a_classifier_that_cannot_be_used(tmp_path: Path, parts: dict[str, str], options: str, said: str) -> None:
    name = parts["classifier"]
    overrides = [f"classifier.name={name}", "classifier.checkpoint=null", f"classifier.options={options}"]
    with pytest.raises(ConfigError) as caught:
        classifier_of(configure(tmp_path, "x", *overrides))
    assert str(caught.value) == said.format(name)


def test_something_else_than_a_classifier(tmp_path: Path, parts: dict[str, str]) -> None:
    file = parts["method"].rpartition(":")[0]
    for name, said in (
        ("NUMBER", f"classifier.name: {file}:NUMBER fails (TypeError: 'int' object is not callable); it is called"),
        ("Nothing", f"classifier.name: {file}:Nothing: {file} has no Nothing"),
    ):
        with pytest.raises(ConfigError) as caught:
            classifier_of(configure(tmp_path, "x", f"classifier.name={file}:{name}", "classifier.checkpoint=null"))
        assert str(caught.value).startswith(said)


# Families of guides


def test_a_family_with_its_own_path(tmp_path: Path, parts: dict[str, str]) -> None:
    overrides = [f"transformer.family={parts['family']}", "data.corruptions=[fog]", "data.limit=16", "norm_ema=null"]
    overrides += ["optimizer.lr=0.01"]
    own = run(tmp_path, "own", *overrides, "path=null")
    assert "name: squared" in (tmp_path / "own" / "config.yaml").read_text()
    linear = run(tmp_path, "linear", *overrides, "path.name=linear")
    assert own != linear == run(tmp_path, "repa", *overrides, "transformer.family=repa", "path.name=linear")
    assert json.loads((tmp_path / "own" / "run.json").read_text())["own_parts"].keys() == {parts["family"]}


def test_what_a_family_drops(tmp_path: Path, parts: dict[str, str]) -> None:
    given = guide_of(configure(tmp_path, "x"))
    assert given is not None
    file = tmp_path / "weights.pt"
    torch.save({**given.transformer.state_dict(), "head.weight": torch.zeros(3)}, file)
    overrides = ["path=null", f"transformer.checkpoint={file}"]
    loaded = guide_of(configure(tmp_path, "x", *overrides, f"transformer.family={parts['family']}"))
    assert loaded is not None
    assert loaded.transformer.state_dict().keys() == given.transformer.state_dict().keys()
    with pytest.raises(CheckpointError, match=r"head\.weight"):
        guide_of(configure(tmp_path, "x", *overrides))
