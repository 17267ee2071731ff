"""Unknown keys, contradictions and unusable files: every problem is a line, and all are shown at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.configs import MINIMAL, NAMES, errors_of

from dusa_ignite import Config, load_config
from dusa_ignite.errors import ConfigError

DATA_SETS = (
    "imagenet_c | cifar10_c | cifar100_c | image_folder | image_list | webdataset | corrupted_folder | digits | "
    "ade20k | ade20k_c | cityscapes | acdc | canvases | mask_folder, or path/to/file.py:Name"
)
INTEGER = "is text and should be a valid integer (of everything random, 0 .. 2^32 - 1)"


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    path = tmp_path / "mini.yaml"
    path.write_text(MINIMAL)
    return path


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
        ("data.name=imagenetc", f"data.name: 'imagenetc' is not allowed; allowed: {DATA_SETS}"),
        ("data={root: /x}", f"data.name: missing; allowed: {DATA_SETS}"),
        ("data.name=my_data.py", f"data.name: 'my_data.py' is not allowed; allowed: {DATA_SETS}"),
        ("data.name=image_folder", "data.root: missing (folder of <task>/<class>/* or <class>/*)"),
        ("classifier.nmae=x", "classifier.nmae: unknown key; did you mean classifier.name?"),
        ("vae.x=1", "vae.x: unknown key; vae has pretrained, scaling_factor"),
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
        f"{path}: name: missing {NAMES}",
        f"{path}: seed: 'x' {INTEGER}",
        f"{path}: data.severities: 6 should be less than or equal to 5 (list out of 1 (weak) .. 5 (strong))",
        f"{path}: data.bach_size: unknown key; did you mean data.batch_size?",
        "override optimizer.lr=abc: optimizer.lr: 'abc' is text and should be a valid number "
        "(the classifier's learning rate, >= 0)",
        f"{path}: norm_ema.decay: 1 should be less than 1 (per update, in [0, 1))",
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
        f"override seed=x: seed: 'x' {INTEGER}",
        "override method.num_top=0: method.num_top: 0 should be greater than or equal to 1 (most likely classes asked "
        "about, >= 1)",
        f"override foo.bar=1: foo: unknown key; the config has {', '.join(Config.model_fields)}",
        "override classifier.num_classes=11: transformer.num_classes: 1000 is not allowed; "
        "allowed: classifier.num_classes = 11",
    ]


def test_what_stands_in_a_sections_place_is_blamed(minimal: Path) -> None:
    names = f"(name: {DATA_SETS.partition(',')[0]})"
    for overrides in (["data=3", "data.limit=64"], ["data.limit=64", "data=3"]):
        with pytest.raises(ConfigError) as caught:
            load_config(minimal, overrides)
        assert str(caught.value) == f"override data=3: data: 3 should be a mapping {names}"
    minimal.write_text(MINIMAL.replace("{name: imagenet_c, root: /data}", "3"))
    with pytest.raises(ConfigError) as caught:
        load_config(minimal, ["data.limit=64"])
    assert str(caught.value) == f"{minimal}: data: 3 should be a mapping {names}"


@pytest.mark.parametrize("override", ["method.name=[1]", "method={name: {a: 1}}", "method=[]"])
def test_a_methods_name_may_be_anything(minimal: Path, override: str) -> None:
    (line,) = errors_of(minimal, override)
    assert line.startswith("method")
    assert "dusa | dusa_u | " in line


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
        (
            "method.name=lame data.batch_size=1",
            "data.batch_size: 1 is not allowed; allowed: >= 2, as method.name=lame weighs the images of a batch "
            "against each other",
        ),
        (
            "method.name=cotta setting=episodic",
            "setting: 'episodic' is not allowed; method.name=cotta predicts with a teacher that averages over batches",
        ),
        (
            "norm_ema={} setting=episodic",
            "norm_ema: has no effect: setting=episodic resets before every batch; set norm_ema=null",
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
    assert config.model_dump()["method"] == {"name": "source", "restrict_to": "all"}
    assert load_config(minimal, ["transformer=null", "method.name=source"]).path is None


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
        ("a: 1\n2: 2\n", "line 2: key '2' is not text (quote it)"),
        ("a: 1\ntrue: 2\n", "line 2: key 'true' is not text (quote it)"),
        ("a: {[1]: 2}\n", "line 1: a key is not text"),
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
    with pytest.raises(ConfigError, match=r"binary\.yaml: not UTF-8 text"):
        load_config(tmp_path / "binary.yaml")
