"""Hundreds of configs that nobody would write: each loads, and comes back from its dump, or ends with a few lines."""

from __future__ import annotations

import contextlib
import copy
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.files import CONFIGS, ROOT

from dusa_ignite.config import Config, load_config, read_config, to_yaml
from dusa_ignite.config.fields import all_keys
from dusa_ignite.errors import UserError
from dusa_ignite.pretraining.config import PretrainConfig
from dusa_ignite.pretraining.own.config import OwnConfig
from dusa_ignite.pretraining.shapes_config import ShapesConfig

pytestmark = pytest.mark.slow

SHIPPED = {path.stem: path.read_text(encoding="utf-8") for path in sorted(CONFIGS.glob("*.yaml"))}
CONTENT = {name: yaml.safe_load(text) for name, text in SHIPPED.items()}
MEMORY = 4 * 2**30


def seeded(tries: int) -> Any:
    """The same tries each time, however long one takes."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=tries, derandomize=True, deadline=None, database=None, suppress_health_check=checks)


hostile_numbers = st.one_of(
    st.sampled_from([0, -1, 1, 2**31, 2**32, 2**63, -(2**63), 10**29, 0.0, -0.0, 1e308, -1e308, 5e-324, 1e-9]),
    st.sampled_from([float("nan"), float("inf"), float("-inf")]),
    st.integers(-5, 5000),
    st.floats(allow_nan=False, allow_infinity=False),
)
hostile_texts = st.one_of(
    st.sampled_from(
        ["", " ", "~", "~nobody_", "/", "..", "a/../b", "x" * 300, "ä" * 200, "a\nb", "a\tb", "\\1", "\\g<0>"]
    ),
    st.sampled_from(["%s{x}", "null", "true", "1e5", ".nan", "off", "*a", "&a", "<<", "a: b", "random", "embedded"]),
    st.sampled_from(["hub:", "hf-hub:", "local-dir:", "a.py:B", "os:system", "hub:a/b:c", "🙂", "\u2028", "\x85"]),
    st.text(max_size=20),
)
plain = st.one_of(st.none(), st.booleans(), hostile_numbers, hostile_texts)
values = st.recursive(
    plain,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(hostile_texts, inner, max_size=3)),
    max_leaves=6,
)
raw_values = st.one_of(  # as they stand in YAML
    values.map(lambda value: yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()),
    st.sampled_from(["[" * 2000, "{a: " * 2000, "9" * 5000, "0x" + "F" * 5000, "&a [*a]", "!!python/object:os.x {}"]),
    st.sampled_from(
        ["!!timestamp x", "!!bool x", "!!float ''", "!!set {a}", "[&a [1], *a, *a]", "{<<: {name: x}}", "|"]
    ),
    st.text("[]{}:,&*!|>'\"%@`#-?<~=. \n\tab01\\x", max_size=30),
)
keys = {
    "run": [*all_keys(Config), "presets", "presets.tent", "presets.mine.method.name"],
    "pretrain": all_keys(PretrainConfig),
    "shapes": all_keys(ShapesConfig),
    "own": all_keys(OwnConfig),
}
KIND = {Config: "run", PretrainConfig: "pretrain", ShapesConfig: "shapes", OwnConfig: "own"}


def schema_of(name: str) -> type:
    trainings = {"digits_pretrain": PretrainConfig, "shapes_pretrain": ShapesConfig, "own_guide": OwnConfig}
    return trainings.get(name, Config)


def check(text: str | bytes, overrides: list[str], schema: type) -> None:
    """The oracle."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        try:
            config = load_config(path, overrides) if schema is Config else read_config(path, overrides, schema=schema)
        except UserError as error:
            lines = str(error).split("\n")
            assert 1 <= len(lines) <= 21
            assert max(map(len, lines)) < 4000
            return
        path.write_text(to_yaml(config), encoding="utf-8")
        again = load_config(path) if schema is Config else read_config(path, schema=schema)
        assert again == config


def put(content: Any, dotted: str, value: Any) -> None:
    """Set a key of nested mappings, as far as they go."""
    *parents, last = dotted.split(".")
    for parent in parents:
        if not isinstance(content.get(parent), dict):
            content[parent] = {}
        content = content[parent]
    content[last] = value


@seeded(150)
@given(st.data())
def test_values(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(SHIPPED)))
    content = copy.deepcopy(CONTENT[name])
    schema = schema_of(name)
    for _ in range(data.draw(st.integers(1, 3))):
        dotted = data.draw(st.sampled_from(keys[KIND[schema]]))
        with contextlib.suppress(AttributeError):  # the value before has taken a section's place
            put(content, dotted, data.draw(values))
    check(yaml.safe_dump(content, allow_unicode=True), [], schema)


@seeded(150)
@given(st.data())
def test_overrides(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(SHIPPED)))
    schema = schema_of(name)
    known = st.sampled_from(keys[KIND[schema]])
    one = st.tuples(st.one_of(known, known, known, hostile_texts), raw_values).map("=".join)
    check(SHIPPED[name], data.draw(st.lists(st.one_of(one, hostile_texts), min_size=1, max_size=3)), schema)


@seeded(150)
@given(st.data())
def test_text(data: st.DataObject) -> None:
    """Pieces of a shipped config are lost, doubled, or replaced by anything."""
    name = data.draw(st.sampled_from(sorted(SHIPPED)))
    text = SHIPPED[name]
    for _ in range(data.draw(st.integers(1, 4))):
        begin = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(begin, min(len(text), begin + 60)))
        text = text[:begin] + data.draw(st.one_of(raw_values, st.just(text[begin:end] * 2))) + text[end:]
    check(text, [], schema_of(name))


@seeded(100)
@given(st.binary(max_size=200))
def test_bytes(content: bytes) -> None:
    check(content, [], Config)


@seeded(4)
@given(st.data())
def test_runs(data: st.DataObject) -> None:
    """What loads also runs, or ends with a line: no traceback, a minute and 4 GiB at most."""
    with tempfile.TemporaryDirectory() as folder:
        small = [
            f"output_dir={folder}",
            "data.limit=16",
            "data.batch_size=8",
            "run.max_batches=1",
            "data.corruptions=[fog]",
        ]
        names = [key for key in keys["run"] if key.partition("=")[0] not in ("output_dir", "export", "resume")]
        one = st.tuples(st.sampled_from(names), st.one_of(raw_values, hostile_numbers.map(str))).map("=".join)
        texts = [text for text in data.draw(st.lists(one, min_size=1, max_size=2)) if "\0" not in text]
        command = ["adapt", "--config", "digits", *small, *(text for text in texts if text.isprintable())]
        done = subprocess.run(
            [sys.executable, "-m", "dusa_ignite", *command],
            cwd=ROOT,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY)),
        )
    assert done.returncode in (0, 2), (command, done.stderr)
    assert "Traceback" not in done.stdout + done.stderr, (command, done.stderr)
