"""The JSON schemas are current and take what a config may hold; so is the page with all options."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support.files import CONFIGS, ROOT

from dusa_ignite.commands.main import main
from dusa_ignite.config.yaml_file import read_mapping

TRAININGS = {
    "digits_pretrain": "pretrain_schema",
    "shapes_pretrain": "shapes_schema",
    "own_guide": "own_schema",
}
RUN_CONFIGS = sorted(path.stem for path in CONFIGS.glob("*.yaml") if path.stem not in TRAININGS)
MODELINE = "# yaml-language-server: $schema="


@cache
def validator(name: str = "schema") -> Draft202012Validator:
    schema = json.loads((CONFIGS / f"{name}.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def problems(**sections: Any) -> list[str]:
    """What is wrong with the demo's config, changed."""
    content = {**read_mapping(CONFIGS / "digits.yaml"), **sections}
    return [".".join(map(str, error.absolute_path)) for error in validator().iter_errors(content)]


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        ([], "configs/schema.json"),
        (["--pretrain"], "configs/pretrain_schema.json"),
        (["--shapes"], "configs/shapes_schema.json"),
        (["--own"], "configs/own_schema.json"),
        (["--markdown"], "docs/options.md"),
    ],
)
def test_current(arguments: list[str], file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", *arguments]) == 0
    made, shipped = capsys.readouterr().out, (ROOT / file).read_text()
    if file.endswith(".json"):  # some versions of pydantic write 0.0, others 0
        made, shipped = json.loads(made), json.loads(shipped)
    assert made == shipped, f"make it anew: dusa-ignite schema {' '.join(arguments)} > {file}"


@pytest.mark.parametrize("name", RUN_CONFIGS)
def test_shipped_configs_fit(name: str) -> None:
    assert (CONFIGS / f"{name}.yaml").read_text().startswith(f"{MODELINE}schema.json\n")
    assert [error.message for error in validator().iter_errors(read_mapping(CONFIGS / f"{name}.yaml"))] == []


@pytest.mark.parametrize(("name", "schema"), TRAININGS.items())
def test_the_shipped_trainings_fit(name: str, schema: str) -> None:
    path = CONFIGS / f"{name}.yaml"
    assert path.read_text().startswith(f"{MODELINE}{schema}.json\n")
    assert [error.message for error in validator(schema).iter_errors(read_mapping(path))] == []


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"optimizer": {"lr": 1}},  # an integer where a number is wanted; the name is the default's
        {"optimizer": {"name": "sgd", "lr": 1e-3, "momentum": 0.9}},
        {"time": {"t": 0.3}},
        {"method": {}},
        {"method": {"name": "tent"}},
        {"method": {"name": "my_method.py:Mine", "anything": 1}},
        {"data": {"name": "my.package:Images", "root": "/data"}},
        {"presets": None},
        {"presets": {"tent": {"classifier": {"trainable": "norm"}}}},
        {"norm_ema": None, "tracking": {"clearml": None}},
    ],
)
def test_takes(sections: dict[str, Any]) -> None:
    assert problems(**sections) == []


@pytest.mark.parametrize(
    ("sections", "place"),
    [
        ({"bach_size": 1}, ""),
        ({"seed": -1}, "seed"),
        ({"setting": "none"}, "setting"),
        ({"run": {"threads": 1}}, "run"),
        ({"optimizer": {"lr": 1e-3, "momentum": 0.9}}, "optimizer"),  # of sgd, but the default is another one
        ({"method": {"name": "tnet"}}, "method"),
        ({"method": {"name": "tent", "num_top": 4}}, "method"),
        ({"presets": ["tent"]}, "presets"),
        ({"presets": {"tent": 1}}, "presets.tent"),
    ],
)
def test_refuses(sections: dict[str, Any], place: str) -> None:
    assert problems(**sections) == [place]
