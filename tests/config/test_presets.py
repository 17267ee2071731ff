"""Per-method settings within a config file."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.files import ROOT

from dusa_ignite.config import Config, load_config, method_names
from dusa_ignite.errors import ConfigError
from dusa_ignite.methods import METHODS, Method

FILE = """
name: x
data: {name: digits}
classifier: {name: test_convnext, num_classes: 10}
transformer: {family: repa, checkpoint: random, variant: SiT-S/2, num_classes: 10, image_size: 8}
vae: {pretrained: null}
optimizer: {name: adam, lr: 1.0e-4}
method: {name: dusa, num_top: 3}
presets:
  source: {classifier: {batch_norm: source}, optimizer: {name: sgd, lr: 0.5, momentum: 0.0}}
"""


def load(tmp_path: Path, text: str, *overrides: str) -> Config:
    (tmp_path / "x.yaml").write_text(text)
    return load_config(tmp_path / "x.yaml", overrides)


def test_the_files_own_method_is_as_the_file_says(tmp_path: Path) -> None:
    config = load(tmp_path, FILE)
    assert config.method.model_dump()["num_top"] == 3
    assert config.optimizer.name == "adam"


@pytest.mark.parametrize("choice", ["method.name=source", "method={name: source}"])
def test_a_preset_comes_with_its_method(tmp_path: Path, choice: str) -> None:
    config = load(tmp_path, FILE, choice)
    assert config.classifier.batch_norm == "source"
    assert config.optimizer.model_dump() == {
        "name": "sgd",
        "lr": 0.5,
        "transformer_lr": None,
        "weight_decay": 0.0,
        "momentum": 0.0,
    }


def test_overrides_come_after_presets(tmp_path: Path) -> None:
    config = load(tmp_path, FILE, "optimizer.lr=0.25", "method.name=source")
    assert config.optimizer.lr == 0.25
    assert config.optimizer.name == "sgd"


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        ("tnet: {}", "presets.tnet: there is no such method"),
        ("tnet: {method: {name: tnt}}", "presets.tnet: there is no such method"),
        ("source: {method: {name: dusa}}", "presets.source.method.name: 'dusa' is not allowed here"),
        ("source: 3", "presets.source: write a mapping"),
        ("source: {seed: {a: 1}}", "presets.source.seed.a=1: seed: "),
        ("source: {optimizer: {lr: fast}}", "presets.source.optimizer.lr=fast: optimizer.lr"),
    ],
)
def test_errors_name_the_preset(tmp_path: Path, preset: str, message: str) -> None:
    text = FILE[: FILE.index("presets:")] + "presets: {" + preset + "}\n"
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, "method.name=source")
    assert message in str(caught.value)


@pytest.mark.parametrize("choice", ["method.name=few", "method={name: few, num_random: 1}"])
def test_a_preset_by_another_name_is_a_variant_of_its_method(tmp_path: Path, choice: str) -> None:
    text = FILE + "  few: {method: {name: dusa, num_top: 2}, optimizer: {lr: 0.5}}\n"
    config = load(tmp_path, text, choice)
    options = config.method.model_dump()
    whole_section = "{" in choice  # replaces the preset's, as it does the file's
    assert (options["name"], options["num_top"]) == ("dusa", 4 if whole_section else 2)
    assert options["num_random"] == (1 if whole_section else 2)
    assert config.optimizer.lr == 0.5
    assert load(tmp_path, text).method.model_dump()["num_top"] == 3
    assert load(tmp_path, text.replace("name: dusa, num_top: 3", "name: few, num_top: 1")).optimizer.lr == 0.5
    assert method_names(tmp_path / "x.yaml")["few"] == "dusa"


def test_a_variant_keeps_the_options_of_the_files_own_method(tmp_path: Path) -> None:
    text = FILE + "  frozen: {method: {name: dusa}, transformer: {trainable: false}}\n"
    config = load(tmp_path, text, "method.name=frozen")
    assert config.method.model_dump()["num_top"] == 3
    assert config.transformer is not None
    assert not config.transformer.trainable


def test_variants_are_offered(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"method\.name: 'dusaa' is not allowed; allowed: dusa \| .* \| few, or path/to/file\.py:Name$",
    ):
        load(tmp_path, FILE + "  few: {method: {name: dusa}}\n", "method.name=dusaa")


def test_wrong_variants_are_shown_before_they_are_chosen(tmp_path: Path) -> None:
    text = FILE + "  few: {method: {name: dusa, num_tpo: 2}}\n"
    with pytest.raises(ConfigError, match=r"presets\.few\.method\.num_tpo=2: method\.num_tpo: unknown key"):
        load(tmp_path, text)


@pytest.mark.parametrize("file", ["digits", "convnext_dit"])
def test_ablations_of_dusa(file: str) -> None:
    path = ROOT / "configs" / f"{file}.yaml"
    plain = load_config(path).model_dump()
    changes = {
        "dusa_frozen": ("transformer", {"trainable": False}),
        "dusa_raw_logits": ("method", {"normalise_logits": False}),
        "dusa_4_0": ("method", {"num_random": 0}),
        "dusa_6_0": ("method", {"num_top": 6, "num_random": 0}),
        "dusa_4_2_uniform": ("method", {"candidate_draw": "uniform"}),
    }
    for name, (section, change) in changes.items():
        changed = load_config(path, [f"method.name={name}"]).model_dump()
        assert changed == {**plain, section: plain[section] | change}


def test_a_steadier_dusa() -> None:
    plain = load_config(ROOT / "configs" / "digits.yaml").model_dump()
    steady = load_config(ROOT / "configs" / "digits.yaml", ["method.name=dusa_steady"]).model_dump()
    method, optimizer = plain["method"] | {"diversity": 0.01}, plain["optimizer"] | {"lr": 5e-4}
    assert steady == {**plain, "method": method, "optimizer": optimizer}


def test_a_preset_that_is_not_chosen_is_checked_too(tmp_path: Path) -> None:
    text = FILE + "  tent: {classifer: {trainable: norm}, optimizer: {lr: fast}}\n  lame: {method: {k: 3}}\n"
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, "seed=x")
    assert str(caught.value).splitlines() == [
        f"{tmp_path / 'x.yaml'}: presets.tent.optimizer.lr=fast: optimizer.lr: 'fast' is text and "
        "should be a valid number (the classifier's learning rate, >= 0)",
        f"{tmp_path / 'x.yaml'}: presets.tent.classifer.trainable=norm: classifer: unknown key; "
        "did you mean classifier?",
        f"{tmp_path / 'x.yaml'}: presets.lame.method.k=3: method.k: unknown key; method has name, restrict_to, "
        "num_neighbours, max_steps",
        "override seed=x: seed: 'x' is text and should be a valid integer (of everything random, 0 .. 2^32 - 1)",
    ]


def test_presets_are_checked_along_with_the_command_line(tmp_path: Path) -> None:
    text = FILE + "  tent: {classifier: {trainable: norm}}\n  dusa_u: {transformer: {num_classes: 12}}\n"
    load(tmp_path, text, "classifier.num_classes=12", "transformer.num_classes=12", "method.num_top=2")
    with pytest.raises(ConfigError, match=r"x\.yaml: presets\.dusa_u\.transformer\.num_classes=12: transformer\."):
        load(tmp_path, text)
    with pytest.raises(
        ConfigError, match=r"^override classifier\.trainable=x: .*'x' should be 'all', 'norm' or 'none'"
    ):
        load(tmp_path, text.replace("{transformer: {num_classes: 12}}", "{}"), "classifier.trainable=x")


NORMS = ("tent", "shot", "eata", "sar", "rotta", "deyo", "roid")


@pytest.mark.parametrize("method", [*NORMS, "cotta"])
@pytest.mark.parametrize("model", ["convnext", "vit", "resnet50_gn"])
def test_published_settings(model: str, method: str) -> None:
    config = load_config(ROOT / "configs" / f"{model}_dit.yaml", [f"method.name={method}"])
    optimizer = config.optimizer.model_dump()
    if model == "convnext":
        assert optimizer | {"name": "adam", "lr": 1e-5, "betas": (0.9, 0.999), "weight_decay": 0.0} == optimizer
    else:
        lr = {"vit": 1e-3, "resnet50_gn": 1e-3 if method == "sar" else 2.5e-4}[model]
        assert optimizer | {"name": "sgd", "lr": lr, "momentum": 0.9, "weight_decay": 0.0} == optimizer
    assert config.classifier.trainable == ("norm" if method in NORMS else "all")
    assert (config.data.batch_size, config.setting, config.seed) == (64, "fully", 2024)
    published = {
        "eata": {"beta": 2000, "fisher_images": 2000, "entropy_margin": 0.4, "redundancy_margin": 0.05},
        "sar": {"rho": 0.05, "entropy_margin": 0.4, "recovery_threshold": 0.2, "loss_decay": 0.9},
        "cotta": {"num_augmentations": 32, "confidence_threshold": 0.1, "teacher_decay": 0.999}
        | {"restore_probability": 0.001},
        "rotta": {"memory_size": 64, "update_every": 64, "nu": 0.001, "alpha": 0.05, "lambda_t": 1.0, "lambda_u": 1.0},
        "deyo": {"plpd_threshold": 0.3, "entropy_threshold": 0.5, "entropy_margin": 0.4},
    }
    options = config.method.model_dump()
    assert options | published.get(method, {}) == options


TRAININGS = ("digits_pretrain", "shapes_pretrain", "own_guide")


@pytest.mark.parametrize(
    "file", sorted(path.name for path in (ROOT / "configs").glob("*.yaml") if path.stem not in TRAININGS)
)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_with_every_config(file: str, method: type[Method]) -> None:
    name = method.Options.model_fields["name"].default
    problem = load_config(ROOT / "configs" / file).problem
    if problem not in method.problems:
        with pytest.raises(ConfigError, match=rf"method\.name: '{name}' is not for {problem}"):
            load_config(ROOT / "configs" / file, [f"method.name={name}"])
        return
    assert isinstance(load_config(ROOT / "configs" / file, [f"method.name={name}"]).method, method.Options)


def test_without_clean_images_eata_must_be_called_eta(tmp_path: Path) -> None:
    norm = "classifier.trainable=norm"
    with pytest.raises(ConfigError, match=r"method\.beta: 2000 needs method\.fisher_root, a folder of clean images"):
        load(tmp_path, FILE, "method.name=eata", norm)
    assert load(tmp_path, FILE, "method.name=eata", "method.beta=0", norm).method.model_dump()["beta"] == 0


def test_the_sampled_preset_is_the_steady_one_with_less_work() -> None:
    steady, sampled = (
        load_config(ROOT / "configs" / "digits.yaml", [f"method.name=dusa_{name}"]).model_dump()
        for name in ("steady", "sampled")
    )
    assert (steady["method"]["transformer_backward"], sampled["method"]["transformer_backward"]) == ("all", "sampled")
    sampled["method"]["transformer_backward"] = "all"
    assert sampled == steady
