"""The config's schema: the shipped files, defaults, derived values, printing."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal, get_origin

import pytest
import yaml
from pydantic import BaseModel
from support.configs import MINIMAL
from support.files import CONFIGS

from dusa_ignite import Config, load_config
from dusa_ignite.config import read_config, to_yaml
from dusa_ignite.config.fields import all_keys, choices
from dusa_ignite.errors import ConfigError
from dusa_ignite.utils.section import Section

CONFIG_FILES = sorted(CONFIGS.glob("*.yaml"))
CONFIG_FILES = [path for path in CONFIG_FILES if path.stem not in ("digits_pretrain", "shapes_pretrain", "own_guide")]

MINIMAL_RESOLVED: dict[str, Any] = {
    "name": "mini",
    "output_dir": "runs",
    "problem": "classification",
    "seed": 2024,
    "setting": "fully",
    "run": {
        "max_batches": None,
        "precision": "auto",
        "deterministic": True,
        "tf32": False,
        "compile": "off",
        "num_threads": None,
        "log_every_seconds": 10.0,
        "max_skipped_in_a_row": 10,
        "memory_check": True,
    },
    "data": {
        "batch_size": 64,
        "micro_batch_size": 8,
        "shuffle": True,
        "correlation": 0.1,
        "limit": None,
        "files": None,
        "num_workers": 4,
        "score_over": "all",
        "on_error": "raise",
        "clean_root": None,
        "clean_images": 256,
        "clean_minimum": None,
        "name": "imagenet_c",
        "root": "/data",
        "corruptions": "benchmark",
        "severities": [5],
    },
    "classifier": {
        "name": "resnet50_gn.a1h_in1k",
        "pretrained": True,
        "checkpoint": None,
        "num_classes": 1000,
        "trainable": "all",
        "image_size": None,
        "view": {
            "preset": "train",
            "image_size": None,
            "crop_pct": None,
            "interpolation": None,
            "crop_mode": None,
            "mean": None,
            "std": None,
            "antialias": None,
        },
        "batch_norm": "batch",
        "precision": "float32",
        "channels_last": False,
        "options": {},
    },
    "transformer": {
        "variant": "SiT-XL/2",
        "family": "repa",
        "checkpoint": "last.pt",
        "num_classes": 1000,
        "image_size": 256,
        "trainable": True,
        "activation_checkpointing": "none",
        "patch_size": None,
        "hidden_size": None,
        "depth": None,
        "num_heads": None,
    },
    "vae": {"pretrained": "stabilityai/sd-vae-ft-ema", "scaling_factor": 0.18215},
    "path": {"name": "linear"},
    "unet": None,
    "time": {"name": "fixed", "t": 0.25},
    "method": {
        "name": "dusa",
        "restrict_to": "all",
        "diversity": 0.0,
        "num_top": 4,
        "num_random": 2,
        "temperature": 1.0,
        "candidate_draw": "multinomial",
        "normalise_logits": True,
        "loss": {"distance": "mse", "p": 0.5, "c": 0.001, "cosine_weight": 0.0},
        "transformer_backward": "all",
        "guide_gradient_share": 1.0,
    },
    "optimizer": {
        "lr": 1e-5,
        "transformer_lr": None,
        "weight_decay": 0.0,
        "name": "adam",
        "betas": [0.9, 0.999],
    },
    "distributed": {"strategy": "ddp", "timeout_minutes": 10.0},
    "checkpoint": {"every_minutes": 15.0, "every_updates": None, "keep": 1, "background": None},
    "resume": "never",
    "export": None,
    "tracking": {"clearml": None, "tensorboard": False},
    "norm_ema": None,
    "monitor": {
        "action": "warn",
        "window": 200,
        "min_guide_auc": 0.5,
        "max_extra_share": 0.15,
        "min_class_ratio": 0.7,
        "min_vote": 0.5,
    },
}


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    path = tmp_path / "mini.yaml"
    path.write_text(MINIMAL)
    return path


def nested_keys(content: Any, prefix: str = "") -> set[str]:
    if not isinstance(content, dict):
        return set()
    return {key for name, value in content.items() for key in {prefix + name} | nested_keys(value, f"{prefix}{name}.")}


# The files


@pytest.mark.parametrize("path", CONFIG_FILES, ids=lambda path: path.stem)
def test_shipped_config_is_complete_and_commented(path: Path) -> None:
    config, text = load_config(path), path.read_text()
    written = nested_keys(yaml.safe_load(text))
    missing = nested_keys(config.model_dump()) - written
    assert missing == set()
    for line in text.partition("\npresets:")[0].splitlines():  # presets repeat keys that are explained above them
        if line and not line.startswith("#") and not line.endswith(":"):
            assert "#" in line, f"no comment: {line}"


@pytest.mark.parametrize(
    ("name", "classifier"),
    [
        ("convnext_dit", "convnext_large.fb_in1k"),
        ("vit_dit", "vit_base_patch16_224.augreg_in1k"),
        ("resnet50_gn_dit", "resnet50_gn.a1h_in1k"),
    ],
)
def test_paper_settings(name: str, classifier: str) -> None:
    config = load_config(next(path for path in CONFIG_FILES if path.stem == name))
    assert config.classifier.name == classifier
    assert config.transformer is not None
    assert (config.transformer.variant, config.transformer.family) == ("DiT-XL/2", "dit")
    assert config.path is not None
    assert config.path.name == "ddpm"
    assert config.seed == 2024
    assert config.norm_ema is None
    dumped = config.model_dump()
    assert dumped["time"] == {"name": "fixed", "t": 0.1}
    assert dumped["method"]["loss"] == {"distance": "mse", "p": 0.5, "c": 1e-3, "cosine_weight": 0.0}
    optimizer = {"name": "adam", "lr": 1e-5, "transformer_lr": None, "betas": (0.9, 0.999), "weight_decay": 0.0}
    assert dumped["optimizer"] == optimizer
    assert (dumped["data"]["severities"], dumped["data"]["batch_size"], dumped["data"]["micro_batch_size"]) == (
        (5,),
        64,
        8,
    )


def test_full_size_smoke_run_validates() -> None:
    overrides = ["transformer.checkpoint=random", "vae.pretrained=random", "classifier.pretrained=false"]
    overrides += ["setting=continual", "data.batch_size=1", "data.micro_batch_size=1", "run.max_batches=1"]
    config = load_config(next(path for path in CONFIG_FILES if path.stem == "convnext"), overrides)
    assert (config.data.batch_size, config.data.micro_batch_size, config.run.max_batches) == (1, 1, 1)
    assert (config.setting, config.classifier.pretrained, config.vae.pretrained) == ("continual", False, "random")


def test_import_needs_no_torch() -> None:
    code = "import sys, dusa_ignite; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Defaults, derived values, printing


def test_defaults_are_spelt_out(minimal: Path) -> None:
    assert yaml.safe_load(to_yaml(load_config(minimal))) == MINIMAL_RESOLVED


def test_printed_keys_follow_the_schema(minimal: Path) -> None:
    printed = yaml.safe_load(to_yaml(load_config(minimal)))
    assert list(printed) == list(Config.model_fields)
    assert [next(iter(printed[key])) for key in ("data", "time", "method", "optimizer")] == ["name"] * 4


def options_of(path: Path) -> list[str]:
    """Nested values, where the model takes any."""
    takes_any = load_config(path).problem == "classification"
    return ["classifier.options={drop_rate: 0.0, names: [a, b]}"] if takes_any else []


@pytest.mark.parametrize("path", CONFIG_FILES, ids=lambda path: path.stem)
def test_printed_config_loads_back_equal(path: Path, tmp_path: Path) -> None:
    config = load_config(path, [*options_of(path), "optimizer.lr=3e-7"])
    copy = tmp_path / "copy.yaml"
    copy.write_text(to_yaml(config))
    assert load_config(copy) == config
    assert to_yaml(load_config(copy)) == to_yaml(config)


@pytest.mark.parametrize("path", CONFIG_FILES, ids=lambda path: path.stem)
def test_a_config_travels_to_other_processes(path: Path) -> None:
    config = load_config(path, options_of(path))
    copy = pickle.loads(pickle.dumps(config))
    assert copy == config
    assert type(copy) is type(config)
    assert copy != config.model_copy(update={"seed": config.seed + 1})
    assert config != to_yaml(config)


@pytest.mark.parametrize(("family", "name"), [("repa", "linear"), ("sit", "reverse_linear"), ("dit", "ddpm")])
def test_path_follows_the_family(minimal: Path, family: str, name: str) -> None:
    config = load_config(minimal, [f"transformer.family={family}"])
    assert config.path is not None
    assert config.path.name == name


def test_config_cannot_be_changed(minimal: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_config(minimal).seed = 1


# Other schemas


def test_any_schema(tmp_path: Path) -> None:
    class Tiny(Section):
        steps: int

    path = tmp_path / "tiny.yaml"
    path.write_text("steps: 3\n")
    assert read_config(path, ["steps=4"], schema=Tiny) == Tiny(steps=4)
    path.write_text("steps: x\n")
    with pytest.raises(ConfigError, match=r"tiny\.yaml: steps: 'x' is text and should be a valid integer$"):
        read_config(path, schema=Tiny)


def test_every_key_is_described() -> None:
    def check(schema: type[BaseModel]) -> None:
        for name, field in schema.model_fields.items():
            chosen = get_origin(field.annotation) is Literal and name == "name"  # the section's class describes it
            assert schema.__doc__ if chosen else field.description, f"{schema.__name__}.{name}"
            for model in choices(field).values():
                check(model)

    check(Config)
    assert {"data.root", "method.loss.cosine_weight", "time.t_min", "optimizer.momentum"} <= set(all_keys(Config))
