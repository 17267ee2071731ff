"""Names, overrides and sizes of what is measured."""

from __future__ import annotations

import pytest
from support.files import CONFIGS

from dusa_ignite.config import load_config
from dusa_ignite.errors import ConfigError
from dusa_ignite.runs.bench.growth import growth_variants
from dusa_ignite.runs.bench.sizes import load_sized
from dusa_ignite.runs.bench.variants import BUILT_IN, Variant, read_variants

RANDOM = ["data.root=/x", "transformer.checkpoint=random", "vae.pretrained=random", "classifier.pretrained=false"]


def test_built_in_and_own_ones() -> None:
    text = "shipped,sampled, mine:run.tf32=true;data.micro_batch_size=16 ,list:data.severities=[3,4],x:micro32;tf32"
    assert read_variants(text) == [
        Variant("shipped"),
        Variant("sampled", ("method.transformer_backward=sampled",)),
        Variant("mine", ("run.tf32=true", "data.micro_batch_size=16")),
        Variant("list", ("data.severities=[3,4]",)),
        Variant("x", ("data.micro_batch_size=32", "run.tf32=true")),
    ]


def test_fast_ones_are_sums_of_the_others() -> None:
    tf32 = {"run.tf32=true", "run.compile=blocks", "classifier.channels_last=true", "run.deterministic=false"}
    half, sampled = "classifier.precision=bfloat16", "method.transformer_backward=sampled"
    found = {name: set(read_variants(name)[0].overrides) for name in BUILT_IN}
    assert found["fast_tf32"] == tf32 | {"data.micro_batch_size=16"}
    assert found["fast"] == tf32 | {"data.micro_batch_size=16", half}
    assert found["fast_sampled_tf32"] == tf32 | {"data.micro_batch_size=32", sampled}
    assert found["fast_sampled"] == tf32 | {"data.micro_batch_size=32", half, sampled}
    assert found["textbook"] == found["shipped"] == set()


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_one_is_a_config(name: str) -> None:
    load_config(CONFIGS / "convnext.yaml", [*RANDOM, *read_variants(name)[0].overrides])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shiped", r"^--variants: 'shiped' is no variant; known: textbook, shipped, .*, or your own as name:section"),
        ("mine:tf23", r"^--variants: 'tf23' is no variant"),
        ("tf32:run.tf32=true", r"^--variants: tf32 is a built-in variant; give your own another name$"),
        ("shipped,shipped", r"^--variants: shipped is there twice; give every variant a name of its own$"),
        (" , ", r"^--variants: none is given; known: textbook"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_variants(text)


@pytest.mark.parametrize("name", ["convnext", "convnext_dit", "vit_dit", "resnet50_gn_dit", "digits", "fsdp"])
def test_shipped_configs_have_all_sizes(name: str) -> None:
    for size in ("tiny", "small"):
        config, _ = load_sized(CONFIGS / f"{name}.yaml", [], size=size)
        assert config.classifier.name == {"tiny": "test_convnext", "small": "convnext_tiny"}[size]
        assert config.data.batch_size == {"tiny": 8, "small": 4}[size]
        assert config.transformer is not None
        assert config.transformer.checkpoint == "random"


def test_what_is_given_wins_over_the_size() -> None:
    config, sized = load_sized(CONFIGS / "convnext.yaml", ["data.root=/x", "data.batch_size=6"], size="tiny")
    assert config.data.batch_size == 6
    assert config.transformer is not None
    assert (config.transformer.hidden_size, config.transformer.variant, config.vae.pretrained) == (64, None, None)
    assert sized[-2:] == ["data.root=/x", "data.batch_size=6"]


def test_growth() -> None:
    config = load_config(CONFIGS / "digits.yaml")
    assert [variant.overrides for variant in growth_variants(config, "batch")] == [
        (f"data.batch_size={size}",) for size in (8, 16, 32, 64, 128)
    ]
    candidates = growth_variants(config, "candidates")
    assert [variant.name for variant in candidates] == [f"{count} candidates" for count in (1, 2, 4, 6, 8)]
    assert candidates[2].overrides == ("method.num_top=4", "method.num_random=0")
    with pytest.raises(ConfigError, match=r"^--grow candidates: method.name=tent has none; take dusa or dusa_u$"):
        growth_variants(load_config(CONFIGS / "digits.yaml", ["method.name=tent"]), "candidates")
