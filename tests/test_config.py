"""The config's schema, files, overrides and error lines."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from dusa_ignite import Config, load_config
from dusa_ignite.config import Section, read_config, to_yaml
from dusa_ignite.config.fields import all_keys, choices
from dusa_ignite.config.models import Family, PathName, Variant
from dusa_ignite.config.schema import FAMILY_PATHS
from dusa_ignite.errors import ConfigError

CONFIGS = sorted(Path(__file__).parents[1].glob("configs/*.yaml"))
CONFIGS = [path for path in CONFIGS if path.stem != "digits_pretrain"]

MINIMAL = """
name: mini
data: {name: imagenet_c, root: /data}
classifier: {name: resnet50_gn.a1h_in1k}
transformer: {variant: SiT-XL/2, family: repa, checkpoint: last.pt}
"""
MINIMAL_RESOLVED: dict[str, Any] = {
    "name": "mini",
    "output_dir": "runs",
    "seed": 2024,
    "setting": "fully",
    "run": {
        "max_batches": None,
        "precision": "auto",
        "deterministic": True,
        "num_threads": None,
        "log_every_seconds": 10.0,
        "max_skipped_in_a_row": 10,
    },
    "data": {
        "batch_size": 64,
        "micro_batch_size": 8,
        "shuffle": True,
        "correlation": 0.1,
        "limit": None,
        "num_workers": 4,
        "on_error": "raise",
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
        "batch_norm": "batch",
        "options": {},
    },
    "transformer": {
        "variant": "SiT-XL/2",
        "family": "repa",
        "checkpoint": "last.pt",
        "num_classes": 1000,
        "image_size": 256,
        "trainable": True,
        "patch_size": None,
        "hidden_size": None,
        "depth": None,
        "num_heads": None,
    },
    "vae": {"pretrained": "stabilityai/sd-vae-ft-ema", "scaling_factor": 0.18215},
    "path": {"name": "linear"},
    "time": {"name": "fixed", "t": 0.25},
    "method": {
        "name": "dusa",
        "num_top": 4,
        "num_random": 2,
        "temperature": 1.0,
        "candidate_draw": "multinomial",
        "normalise_logits": True,
        "loss": {"distance": "mse", "p": 0.5, "c": 0.001, "cosine_weight": 0.0},
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
}


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    path = tmp_path / "mini.yaml"
    path.write_text(MINIMAL)
    return path


def errors_of(path: Path, *overrides: str) -> list[str]:
    """The lines of the error, without the file's or the override's name in front."""
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    lines = str(caught.value).splitlines()
    return [re.sub(r"^(override .+?=.*?|\S+\.yaml): (?=[\w.]+: )", "", line) for line in lines]


NAMES = "text (the run's folder in output_dir: letters, digits and _, behind the first also spaces and . + = -)"


def nested_keys(content: Any, prefix: str = "") -> set[str]:
    if not isinstance(content, dict):
        return set()
    return {key for name, value in content.items() for key in {prefix + name} | nested_keys(value, f"{prefix}{name}.")}


# The files


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
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
    config = load_config(next(path for path in CONFIGS if path.stem == name))
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
    config = load_config(next(path for path in CONFIGS if path.stem == "convnext"), overrides)
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


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_printed_config_loads_back_equal(path: Path, tmp_path: Path) -> None:
    config = load_config(path, ["classifier.options={drop_rate: 0.0, names: [a, b]}", "optimizer.lr=3e-7"])
    copy = tmp_path / "copy.yaml"
    copy.write_text(to_yaml(config))
    assert load_config(copy) == config
    assert to_yaml(load_config(copy)) == to_yaml(config)


def test_names_agree_with_the_models() -> None:
    from dusa_ignite.models.load import LEARNS_SIGMA, VARIANTS
    from dusa_ignite.models.paths import DEFAULT_PATH, PATHS
    from dusa_ignite.models.vae import DOWNSAMPLING

    assert set(get_args(Variant)) == set(VARIANTS)
    assert set(get_args(PathName)) == set(PATHS)
    assert set(get_args(Family)) == set(LEARNS_SIGMA)
    assert {family: paths[0] for family, paths in FAMILY_PATHS.items()} == DEFAULT_PATH
    assert DOWNSAMPLING == 8


@pytest.mark.parametrize(("family", "name"), [("repa", "linear"), ("sit", "reverse_linear"), ("dit", "ddpm")])
def test_path_follows_the_family(minimal: Path, family: str, name: str) -> None:
    config = load_config(minimal, [f"transformer.family={family}"])
    assert config.path is not None
    assert config.path.name == name


def test_input_of_the_transformer(minimal: Path) -> None:
    latents = load_config(minimal)
    pixels = load_config(minimal, ["vae.pretrained=null", "transformer.image_size=32"])
    assert (latents.latent_size, latents.in_channels) == (32, 4)
    assert (pixels.latent_size, pixels.in_channels) == (32, 3)


def test_config_cannot_be_changed(minimal: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_config(minimal).seed = 1


# Strict values


@pytest.mark.parametrize("text", ["1e-4", "1.0e-4", "0.0001", "1E-4", ".1e-3", "+1.e-4"])
def test_scientific_notation(minimal: Path, text: str) -> None:
    assert load_config(minimal, [f"optimizer.lr={text}"]).optimizer.lr == 1e-4


def test_integer_for_a_number(minimal: Path) -> None:
    lr = load_config(minimal, ["optimizer.lr=0"]).optimizer.lr
    assert (lr, type(lr)) == (0.0, float)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("optimizer.lr=abc", "optimizer.lr: 'abc' is not a number; allowed: a number >= 0"),
        ("optimizer.lr='5'", "optimizer.lr: '5' is not a number; allowed: a number >= 0"),
        ("optimizer.lr=-1e-5", "optimizer.lr: '-1e-5' is not allowed; allowed: a number >= 0"),
        ("optimizer.lr=.nan", "optimizer.lr: nan is not a finite number; allowed: a number >= 0"),
        ("optimizer.lr=1e999", "optimizer.lr: '1e999' is not a finite number; allowed: a number >= 0"),
        ("optimizer.lr=true", "optimizer.lr: true is not a number; allowed: a number >= 0"),
        (
            "optimizer.transformer_lr=x",
            "optimizer.transformer_lr: 'x' is not a number; allowed: a number >= 0, or null",
        ),
        (
            "optimizer.betas=[0.9]",
            "optimizer.betas: [0.9] is not allowed; allowed: a list of 2, each a number >= 0 and < 1",
        ),
        ("data.batch_size='5'", "data.batch_size: '5' is not an integer; allowed: an integer >= 1"),
        ("data.batch_size=5.0", "data.batch_size: 5.0 is not an integer; allowed: an integer >= 1"),
        ("data.batch_size=true", "data.batch_size: true is not an integer; allowed: an integer >= 1"),
        ("data.batch_size=0", "data.batch_size: 0 is not allowed; allowed: an integer >= 1"),
        ("data.batch_size=null", "data.batch_size: null is not allowed; allowed: an integer >= 1"),
        ("data.limit=0", "data.limit: 0 is not allowed; allowed: an integer >= 1, or null"),
        ("data.shuffle=1", "data.shuffle: 1 is neither true nor false; allowed: true | false"),
        (
            "data.severities=5",
            "data.severities: 5 is not a list; allowed: a non-empty list, each an integer >= 1 and <= 5",
        ),
        ("data.severities=[5,5]", "data.severities: 5 listed more than once"),
        ("data.on_error=ignore", "data.on_error: 'ignore' is not allowed; allowed: raise | skip"),
        (
            "setting=sometimes",
            "setting: 'sometimes' is not allowed; allowed: fully | continual | gradual | mixed | correlated | episodic",
        ),
        ("seed=-1", "seed: -1 is not allowed; allowed: an integer >= 0 and < 4294967296"),
        ("data=5", "data: 5 is not a mapping; allowed: a mapping with name imagenet_c | image_folder | digits"),
        (
            "norm_ema=true",
            "norm_ema: true is not a mapping; allowed: a mapping with keys decay, evaluate, or null",
        ),
        ("time.t=1.5", "time.t: 1.5 is not allowed; allowed: a number >= 0 and <= 1"),
        ("method.loss.p=-1", "method.loss.p: -1 is not allowed; allowed: a number >= 0"),
        ("name=../x", f"name: '../x' is not allowed; allowed: {NAMES}"),
        ("name=a/b", f"name: 'a/b' is not allowed; allowed: {NAMES}"),
        ("name=5", f"""name: 5 is not text (quote it, on the command line name='"5"'); allowed: {NAMES}"""),
        (
            "name=2026-11-25",
            f"""name: 2026-11-25 is not text (quote it, on the command line name='"2026-11-25"'); allowed: {NAMES}""",
        ),
        (
            "transformer.hidden_size=10",
            "transformer.hidden_size: 10 is not allowed; allowed: an integer >= 4 and a multiple of 4, or null",
        ),
    ],
)
def test_wrong_value(minimal: Path, override: str, line: str) -> None:
    assert errors_of(minimal, override) == [line]


@pytest.mark.parametrize("data", ["imagenet_c", "digits"])
def test_wrong_corruptions(minimal: Path, data: str) -> None:
    name = f"data.name={data}"
    start = "data.corruptions: 'gausian_noise' is no corruption, did you mean gaussian_noise?; allowed: benchmark | all"
    (line,) = errors_of(minimal, name, "data.corruptions=[fog,gausian_noise]")
    assert line.startswith(start)
    assert errors_of(minimal, name, "data.corruptions=[fog,fog]") == ["data.corruptions: fog listed more than once"]
    for value in ("fog", "[]", "5"):
        (line,) = errors_of(minimal, name, f"data.corruptions={value}")
        assert line.endswith("is not allowed; allowed: benchmark | all | a list such as [gaussian_noise]")


def test_corruptions_keep_their_order(minimal: Path) -> None:
    assert load_config(minimal, ["data.corruptions=[snow, fog]"]).model_dump()["data"]["corruptions"] == ("snow", "fog")


def test_class_names(minimal: Path) -> None:
    def classes(value: str) -> Any:
        config = load_config(minimal, ["data.name=image_folder", "data.root=/x", f"data.classes={value}"])
        return config.model_dump()["data"]["classes"]

    assert classes("null") is None
    assert classes("names.txt") == "names.txt"
    assert classes("[b, a]") == ("b", "a")
    with pytest.raises(
        ConfigError, match=r"data.classes: \[\] is not allowed; allowed: a file, a list of names, or null"
    ):
        classes("[]")
    with pytest.raises(ConfigError, match=r"data.classes: \[1, 2\] is not allowed; allowed: text \| a list, each text"):
        classes("[1, 2]")


# Keys


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("data.bach_size=3", "data.bach_size: unknown key; did you mean data.batch_size?"),
        ("trasformer.depth=3", "trasformer: unknown key; did you mean transformer?"),
        ("batch_size=3", "batch_size: unknown key; did you mean data.batch_size?"),
        ("method.loss.cos_weight=1", "method.loss.cos_weight: unknown key; did you mean method.loss.cosine_weight?"),
        ("time.t_min=0.1", "time.t_min: unknown key here; it belongs to time.name=uniform"),
        ("optimizer.momentum=0.9", "optimizer.momentum: unknown key here; it belongs to optimizer.name=sgd"),
        ("data.name=imagenetc", "data.name: 'imagenetc' is not allowed; allowed: imagenet_c | image_folder | digits"),
        ("data={root: /x}", "data.name: missing; allowed: imagenet_c | image_folder | digits"),
        (
            "data.name=image_folder",
            "data.root: missing; allowed: text (folder of <task>/<class>/* or <class>/*)",
        ),
        ("transformer=null", "transformer: missing, but method.name=dusa needs one"),
    ],
)
def test_wrong_key(minimal: Path, override: str, line: str) -> None:
    assert errors_of(minimal, override) == [line]


def test_all_errors_of_a_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "seed: x\n"
        "data: {name: digits, bach_size: 3, severities: [6]}\n"
        "classifier: {name: test_convnext, num_classes: 5}\n"
        "transformer: {variant: SiT-B/2, family: repa, checkpoint: random}\n"
        "onn: 1\n"
        "norm_ema: {decay: 1}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path, ["optimizer.lr=abc"])
    assert str(caught.value).splitlines() == [
        f"{path}: name: missing; allowed: {NAMES}",
        f"{path}: seed: 'x' is not an integer; allowed: an integer >= 0 and < 4294967296",
        f"{path}: data.severities: [6] is not allowed; allowed: a non-empty list, each an integer >= 1 and <= 5",
        f"{path}: data.bach_size: unknown key; did you mean data.batch_size?",
        "override optimizer.lr=abc: optimizer.lr: 'abc' is not a number; allowed: a number >= 0",
        f"{path}: norm_ema.decay: 1 is not allowed; allowed: a number >= 0 and < 1",
        f"{path}: onn: unknown key; the config has {', '.join(Config.model_fields)}",
        f"{path}: method.num_top: num_top 4 + num_random 2 is more than there are classes; "
        "allowed: together <= classifier.num_classes = 5",
        f"{path}: transformer.num_classes: 1000 is not allowed; allowed: classifier.num_classes = 5",
    ]


def test_a_wrong_section_hides_no_other_problem(minimal: Path) -> None:
    overrides = ["bad1", "classifier.num_classes=11", "method.num_top=0", "a..b=1", "seed=x", "foo.bar=1"]
    with pytest.raises(ConfigError) as caught:
        load_config(minimal, overrides)
    assert str(caught.value).splitlines() == [
        "override 'bad1': write section.key=value, such as optimizer.lr=1e-4",
        "override 'a..b=1': write section.key=value, such as optimizer.lr=1e-4",
        "override seed=x: seed: 'x' is not an integer; allowed: an integer >= 0 and < 4294967296",
        "override method.num_top=0: method.num_top: 0 is not allowed; allowed: an integer >= 1",
        f"override foo.bar=1: foo: unknown key; the config has {', '.join(Config.model_fields)}",
        "override classifier.num_classes=11: transformer.num_classes: 1000 is not allowed; "
        "allowed: classifier.num_classes = 11",
    ]


def test_what_stands_in_a_sections_place_is_blamed(minimal: Path) -> None:
    names = "allowed: a mapping with name imagenet_c | image_folder | digits"
    for overrides in (["data=3", "data.limit=64"], ["data.limit=64", "data=3"]):
        with pytest.raises(ConfigError) as caught:
            load_config(minimal, overrides)
        assert str(caught.value) == f"override data=3: data: 3 is not a mapping; {names}"
    minimal.write_text(MINIMAL.replace("{name: imagenet_c, root: /data}", "3"))
    with pytest.raises(ConfigError) as caught:
        load_config(minimal, ["data.limit=64"])
    assert str(caught.value) == f"{minimal}: data: 3 is not a mapping; {names}"


@pytest.mark.parametrize("override", ["method.name=[1]", "method={name: {a: 1}}", "method=[]"])
def test_a_methods_name_may_be_anything(minimal: Path, override: str) -> None:
    (line,) = errors_of(minimal, override)
    assert line.startswith("method")
    assert "allowed: " in line


# Agreement between keys and sections


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            "method.num_top=999",
            "method.num_top: num_top 999 + num_random 2 is more than there are classes; "
            "allowed: together <= classifier.num_classes = 1000",
        ),
        (
            "classifier.num_classes=10",
            "transformer.num_classes: 1000 is not allowed; allowed: classifier.num_classes = 10",
        ),
        (
            "classifier.trainable=none transformer.trainable=false",
            "classifier.trainable: 'none' with transformer.trainable=false leaves nothing to train; "
            "change one, or take method.name=source",
        ),
        (
            "transformer.image_size=200",
            "transformer.image_size: 200 is not allowed; allowed: a multiple of 16 (8 x the patch size)",
        ),
        (
            "transformer.image_size=33 vae.pretrained=null",
            "transformer.image_size: 33 is not allowed; allowed: a multiple of 2 (the patch size, as there is no VAE)",
        ),
        ("path.name=ddpm", "path.name: 'ddpm' does not fit transformer.family repa; "
         "allowed: linear | cosine | reverse_linear"),
        (
            "time.name=uniform time.t_min=0.5 time.t_max=0.25",
            "time.t_max: 0.25 is below t_min 0.5; allowed: a number >= t_min and <= 1",
        ),
        (
            "transformer.hidden_size=64 transformer.num_heads=3",
            "transformer.num_heads: 3 does not divide hidden_size 64",
        ),
    ],
)  # fmt: skip
def test_contradiction(minimal: Path, overrides: str, line: str) -> None:
    assert errors_of(minimal, *overrides.split()) == [line]


def test_incomplete_sizes(minimal: Path) -> None:
    advice = "missing; give transformer.variant, or patch_size, hidden_size, depth and num_heads"
    lines = errors_of(minimal, "transformer.variant=null", "transformer.hidden_size=64", "transformer.num_heads=4")
    assert lines == [f"transformer.patch_size: {advice}", f"transformer.depth: {advice}"]


def test_source_ignores_the_guide(minimal: Path) -> None:
    config = load_config(minimal, ["method.name=source", "classifier.num_classes=3", "transformer.image_size=13"])
    assert config.model_dump()["method"] == {"name": "source"}
    assert load_config(minimal, ["transformer=null", "method.name=source"]).path is None


# Overrides


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
    assert dumped["method"] == {"name": "source"}


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
        "override seed=x: seed: 'x' is not an integer; allowed: an integer >= 0 and < 4294967296",
        f"{minimal}: data.batch_size: 'x' is not an integer; allowed: an integer >= 1",
        "override data.name=image_folder: data.root: missing; allowed: text (folder of <task>/<class>/* or <class>/*)",
    ]


# Files that cannot be used


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the config file is empty"),
        ("# nothing\n", "the config file is empty"),
        ("- 1\n", "must hold keys and values, not a list"),
        ("text\n", "must hold keys and values, not a str"),
        ("a: 1\nb: [1\nc: 2\n", "line 3: expected ',' or ']', but got ':'"),
        ("a: 1\nb: {c: 1,\n    c: 2}\n", "line 3: key 'c' given twice, first in line 2"),
        ("a: 1\n\na: 2\n", "line 3: key 'a' given twice, first in line 1"),
        ("a: 1\non: 2\n", "line 2: key 'on' is not text (quote it)"),
        ("a: {[1]: 2}\n", "line 1: a key is not text"),
        ("a: 2024-13-45\n", "not valid YAML (month must be in 1..12)"),
        ("a: !!python/name:os.system x\n", "line 1: could not determine a constructor for the tag "
         "'tag:yaml.org,2002:python/name:os.system'"),
    ],
)  # fmt: skip
def test_unusable_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == f"{path}: {message}"


def test_missing_and_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: no such config file$"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)$"):
        load_config(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match=r"binary\.yaml: not valid YAML"):
        load_config(tmp_path / "binary.yaml")


# Other schemas


def test_any_schema(tmp_path: Path) -> None:
    class Tiny(Section):
        steps: int

    path = tmp_path / "tiny.yaml"
    path.write_text("steps: 3\n")
    assert read_config(path, ["steps=4"], schema=Tiny) == Tiny(steps=4)
    path.write_text("steps: x\n")
    with pytest.raises(ConfigError, match=r"tiny\.yaml: steps: 'x' is not an integer; allowed: an integer$"):
        read_config(path, schema=Tiny)


def test_every_key_is_described() -> None:
    def check(schema: type[BaseModel]) -> None:
        for name, field in schema.model_fields.items():
            assert field.description, f"{schema.__name__}.{name}"
            for model in choices(field).values():
                check(model)

    check(Config)
    assert {"data.root", "method.loss.cosine_weight", "time.t_min", "optimizer.momentum"} <= set(all_keys(Config))
