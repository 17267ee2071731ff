"""Overrides: what they change, and what is said about those that cannot be applied."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.configs import MINIMAL

from dusa_ignite import load_config
from dusa_ignite.errors import ConfigError


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    path = tmp_path / "mini.yaml"
    path.write_text(MINIMAL)
    return path


@pytest.mark.parametrize("reverse", [False, True])
def test_another_choice_starts_its_section_afresh(minimal: Path, reverse: bool) -> None:
    overrides = [
        "time.t_min=0.2",
        "time.name=uniform",
        "data.limit=7",
        "data.name=digits",
        "optimizer.name=sgd",
        "method.name=source",
    ]
    minimal.write_text(
        MINIMAL.replace("root: /data", "root: /data, on_error: skip")
        + "time: {name: fixed, t: 0.5}\n"
        + "optimizer: {name: adam, lr: 0.5, betas: [0.5, 0.5]}\n"
        + "method: {num_top: 3}\n"
    )
    dumped = load_config(minimal, overrides[:: -1 if reverse else 1]).model_dump()
    assert dumped["time"] == {"name": "uniform", "t_min": 0.2, "t_max": 1.0}
    assert (dumped["data"]["on_error"], dumped["data"]["limit"], "root" in dumped["data"]) == ("skip", 7, False)
    sgd = {"name": "sgd", "lr": 0.5, "transformer_lr": None, "weight_decay": 0.0, "momentum": 0.9}
    assert dumped["optimizer"] == sgd
    assert dumped["method"] == {"name": "source", "restrict_to": "all"}


def test_the_same_choice_keeps_its_section(minimal: Path) -> None:
    minimal.write_text(MINIMAL + "time: {name: fixed, t: 0.5}\n")
    assert load_config(minimal, ["time.name=fixed"]).model_dump()["time"] == {"name": "fixed", "t": 0.5}
    minimal.write_text(MINIMAL + "time: {t: 0.5}\n")
    assert load_config(minimal).model_dump()["time"] == {"name": "fixed", "t": 0.5}
    assert load_config(minimal, ["time.name=fixed"]).model_dump()["time"] == {"name": "fixed", "t": 0.5}


def test_whole_and_missing_sections(minimal: Path) -> None:
    overrides = [
        "time.t_max=0.8",
        "time={name: uniform, t_min: 0.1, t_max: 0.9}",
        "norm_ema.decay=0.5",
        "seed=1",
        "seed=2",
    ]
    dumped = load_config(minimal, overrides).model_dump()
    assert dumped["time"] == {"name": "uniform", "t_min": 0.1, "t_max": 0.8}
    assert dumped["norm_ema"] == {"decay": 0.5, "evaluate": True}
    assert dumped["seed"] == 2


def test_override_of_one_of_two_keys_that_share_an_anchor(minimal: Path) -> None:
    minimal.write_text(MINIMAL.replace("resnet50_gn.a1h_in1k", "m, options: {a: &x {k: 1}, b: *x}"))
    options = load_config(minimal, ["classifier.options.a.k=2"]).classifier.options
    assert options == {"a": {"k": 2}, "b": {"k": 1}}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "override 'seed': write section.key=value, such as optimizer.lr=1e-4"),
        ("=5", "override '=5': write section.key=value, such as optimizer.lr=1e-4"),
        ("a..b=5", "override 'a..b=5': write section.key=value, such as optimizer.lr=1e-4"),
        ("data.root=[", "override 'data.root=[': the value is not valid YAML; quote it if it is text"),
        ("seed.x=1", "override 'seed.x=1': seed is not a section"),
    ],
)
def test_malformed_override(minimal: Path, override: str, message: str) -> None:
    minimal.write_text(MINIMAL + "seed: 3\n")
    with pytest.raises(ConfigError) as caught:
        load_config(minimal, [override])
    assert str(caught.value) == message


def test_where_a_wrong_value_comes_from(minimal: Path) -> None:
    minimal.write_text(MINIMAL.replace("root: /data", "root: /data, batch_size: x"))
    with pytest.raises(ConfigError) as caught:
        load_config(minimal, ["data.name=image_folder", "seed=x"])
    assert str(caught.value).splitlines() == [
        "override seed=x: seed: 'x' is text and should be a valid integer (of everything random, 0 .. 2^32 - 1)",
        f"{minimal}: data.batch_size: 'x' is text and should be a valid integer (images per update, over all "
        "processes, >= 1)",
        "override data.name=image_folder: data.root: missing (folder of <task>/<class>/* or <class>/*)",
    ]
