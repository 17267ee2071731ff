"""Configs that nobody writes by accident: each ends with one line, at once, and within little memory."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.configs import MINIMAL

from dusa_ignite import load_config
from dusa_ignite.config import read_config, to_yaml
from dusa_ignite.config.yaml_file import parse_yaml
from dusa_ignite.errors import ConfigError
from dusa_ignite.pretraining.config import PretrainConfig

SECONDS, MEMORY = 10.0, 200 * 2**20  # other tests run at the same time; alone it is 2 s at most
LEVELS = [(n, ", ".join([f"*a{n - 1}"] * 9)) for n in range(1, 10)]  # 9^9 values behind a few hundred characters
BOMB = "".join(f"a{n}: &a{n} [{below}]\n" for n, below in LEVELS)
FLOW_BOMB = f"[&a0 [x], {', '.join(f'&a{n} [{below}]' for n, below in LEVELS)}]"
MERGES = "".join(f"a{n}: &a{n} {{<<: [{below}]}}\n" for n, below in LEVELS)
TOO_MANY = "more than 30,000 values, what aliases stand for included"
DEEP = "nested more than 50 levels deep"
LONG = "n" * 300

FILES = {  # added to a minimal config: what the line says
    f"a0: &a0 [lol, lol]\n{BOMB}": TOO_MANY,
    f"a0: &a0 {{a: 1, b: 2}}\n{MERGES}": TOO_MANY,
    "x: [" + "1, " * 60_000 + "]": TOO_MANY,
    f"x: {'[' * 10_000}{']' * 10_000}": DEEP,
    f"x: {'[' * 10_000}": DEEP,
    f"x: {'{a: ' * 10_000}1{'}' * 10_000}": DEEP,
    "x:\n" + "\n".join(f"{' ' * n}- " for n in range(1, 400)): DEEP,
    "x: " + "- " * 10_000: "sequence entries are not allowed here",
    "".join(f"b{n}: &b{n} [*b{n - 1}]\n" for n in range(1, 99)).replace("[*b0]", "[]"): DEEP,
    "presets: &p {tent: *p}": "an alias stands within what it stands for",
    "presets: {tent: &t {optimizer: {more: *t}}}": "an alias stands within what it stands for",
    "x: &x [*x]": "an alias stands within what it stands for",
    "x: &x {<<: *x}": "an alias stands within what it stands for",
    "x: *nowhere": "found undefined alias 'nowhere'",
    "presets: {one: {method: {name: two}}, two: {method: {name: one}}}": "presets.one: there is no such method;",
    "presets: {tent: {presets: {tent: {}}}}": "presets.tent.presets.tent={}: presets: unknown key",
    "seed: " + "9" * 5_000: "a number of more than 30 digits",
    "seed: 0x" + "F" * 5_000: "a number of more than 30 digits",
    "x: !!python/object/apply:os.system [ls]": "could not determine a constructor for the tag",
    "x: !!python/name:os.system ''": "could not determine a constructor for the tag",
    "x: !!timestamp soon": "could not determine a constructor for the tag",
    "x: !!binary aGk=": "could not determine a constructor for the tag",
    "x: !!set {a, b}": "could not determine a constructor for the tag",
    "seed: !!int ''": "not valid YAML",
    "seed: !!float ''": "not valid YAML",
    "seed: !!bool maybe": "seed: false should be a valid integer",
    'output_dir: "a\\0b"': "the character '\\x00' is not allowed",
    'output_dir: "a\\ud800b"': "the character '\\ud800' is not allowed",
    'output_dir: "a\\nb"': "output_dir: 'a\\nb' has control characters",
    f"output_dir: runs/{LONG}": "is too long; allowed: 255 bytes between two slashes, 3000 in all",
    f"output_dir: {'ä' * 130}": "is too long; allowed: 255 bytes between two slashes, 3000 in all",
    f"output_dir: {'a/' * 2_000}": "is too long; allowed: 255 bytes between two slashes, 3000 in all",
    "output_dir: ~nobody_of_this_name/runs": "there is no user of this name",
    f'"{LONG}": 1': "is too long for a key",
    '"a\\nb": 1': "is too long for a key",
    "? [a, b]\n: 1": "a key is not text",
    "1: 1": "key '1' is not text",
    "seed: 1\nseed: 2": "key 'seed' given twice",
    "\n".join(f"k{n}: 1" for n in range(1_000)): "unknown key",
}
OVERRIDES = {  # what the line says, behind the override
    f"data.severities={FLOW_BOMB}": TOO_MANY,
    f"a={'[' * 10_000}": DEEP,
    f"a={'{a: ' * 10_000}": DEEP,
    ".".join(["a"] * 5_000) + "=1": "write section.key=value",
    ".".join(["a"] * 40) + "=1": "a: unknown key",
    "a" * 10_000 + "=1": "write section.key=value",
    "a\nb=1": "write section.key=value",
    "a\0b=1": "write section.key=value",
    "name=a\0b": "has characters that are no text",
    "name=\udcff": "has characters that are no text",
    'name="a\\0b"': "the character '\\x00' is not allowed",
    'name="a\\nb"': "name: 'a\\nb' should match pattern",
    f"name={LONG}": "is too long; allowed: 200 bytes in UTF-8",
    f"name={'ä' * 101}": "is too long; allowed: 200 bytes in UTF-8",
    f"seed={'9' * 5_000}": "the value is not valid YAML",
    "seed=4294967296": "seed: 4294967296 should be less than 4294967296",
    "seed=1e3": "seed: 1000.0 should be a valid integer",
    "seed=1e400": "seed: inf should be a",
    "seed=true": "seed: true should be a valid integer",
    "seed=2024-01-01": "seed: '2024-01-01' is text",
    "run.num_threads=3000000000": "run.num_threads: 3000000000 should be less than or equal to 1024",
    "run.max_batches=99999999999": "run.max_batches: 99999999999 is not allowed; allowed: numbers up to 1e+10",
    "run.log_every_seconds=1e308": "run.log_every_seconds: 1e+308 is not allowed; allowed: numbers up to 1e+10",
    "distributed.timeout_minutes=1e308": "should be less than or equal to 100000",
    "distributed.timeout_minutes=.nan": "distributed.timeout_minutes: nan should be",
    "distributed.timeout_minutes=.inf": "distributed.timeout_minutes: inf should be",
    "data.batch_size=1000000000": "data.batch_size: 1000000000 should be less than or equal to 65536",
    "data.num_workers=100000": "data.num_workers: 100000 should be less than or equal to 512",
    "data.severities=[" + "5," * 20_000 + "]": "data.severities: 5 listed more than once",
    "data.severities=[" + "x," * 20_000 + "]": "data.severities: 'x' is text and should be a valid integer",
    "data.corruptions=[" + "x," * 20_000 + "]": "data.corruptions: ",
    "classifier.num_classes=1000000000": "should be less than or equal to 1000000",
    "classifier.image_size=1000000": "should be less than or equal to 16384",
    "classifier.view.mean=[1e300, 0, 0]": "1e+300 is not allowed; allowed: numbers up to 1e+10",
    "transformer.depth=1000000": "transformer.depth: 1000000 should be less than or equal to 1000",
    "transformer.hidden_size=1000000": "should be less than or equal to 16384",
    "transformer.num_heads=1000000": "should be less than or equal to 1024",
    "checkpoint.keep=1000000000": "should be less than or equal to 10000",
    "optimizer.lr=1e300": "optimizer.lr: 1e+300 is not allowed; allowed: numbers up to 1e+10",
    "data.root=~nobody_of_this_name": "data.root: ~nobody_of_this_name: there is no user of this name",
    "method.name=~nobody_of_this_name/m.py:M": "there is no user of this name",
    f"method.name={LONG}.py:M": "there is no file",
    "classifier.options={x: !!timestamp 2024-01-01}": "the value is not valid YAML",
}


@pytest.fixture(autouse=True)
def _at_once_and_small() -> Iterator[None]:
    begun, before = time.monotonic(), peak_memory()
    yield
    assert time.monotonic() - begun < SECONDS
    assert peak_memory() - before < MEMORY


def peak_memory() -> int:
    """Bytes that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def lines_of(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return str(caught.value).split("\n")


def number(item: object) -> str:
    """A short id: these values are long."""
    return ascii(item)[1:40]


@pytest.mark.parametrize(("text", "said"), FILES.items(), ids=number)
def test_file(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(MINIMAL + text, encoding="utf-8")
    lines = lines_of(path)
    assert said in lines[0]
    assert lines[0].startswith(f"{path}: ")
    assert len(lines) <= 21
    assert max(map(len, lines)) < 1500


@pytest.mark.parametrize(("override", "said"), OVERRIDES.items(), ids=number)
def test_override(tmp_path: Path, override: str, said: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(MINIMAL)
    lines = lines_of(path, override)
    assert said in lines[0]
    assert len(lines) <= 2
    assert max(map(len, lines)) < 1500


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe" + MINIMAL.encode("utf-16-le"), "not UTF-8 text (invalid start byte at byte 0); save it as UTF-8"),
        (b"name: \xe4", "not UTF-8 text ("),
        (b"name: a\0b", "not valid YAML (unacceptable character #x0000"),
        (b"# " + b"x" * 2**22, "not valid YAML (longer than 2,097,152 characters)"),
        (b"x" * (2**23 + 1), "cannot be read (larger than 8,388,608 bytes)"),
        (b"\xef\xbb\xbf", "the config file is empty"),
        (b"- a", "must hold keys and values, not a list"),
        (b"a: 1\n---\nb: 2", "line 2: but found another document"),
        (b"%YAML 7.0\n---\na: 1", "line 1: found incompatible YAML document (version 1.* is required)"),
        (b"%TAG ! tag:x,2000:\n---\n!a {b: 1}", "could not determine a constructor for the tag"),
    ],
    ids=number,
)
def test_content(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    (line,) = lines_of(path)
    assert said in line


def test_a_mark_of_byte_order_is_read_over(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
    assert load_config(path).name == "mini"


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "socket"))
    reading, writing = os.pipe()
    try:
        for path in (tmp_path / "fifo", tmp_path / "socket", "/dev/zero", f"/dev/fd/{reading}"):
            (line,) = lines_of(Path(path))
            assert line == f"{path}: cannot be read (a pipe, device or socket; write it to a file first)"
    finally:
        server.close()
        os.close(reading)
        os.close(writing)
    assert lines_of(tmp_path) == [f"{tmp_path}: cannot be read (Is a directory)"]
    assert lines_of(tmp_path / LONG) == [f"{tmp_path / LONG}: cannot be read (File name too long)"]
    assert lines_of(Path("a\0b")) == ["a\0b: cannot be read (embedded null byte)"]
    assert "there is no user of this name" in lines_of(Path("~nobody_of_this_name/x.yaml"))[0]


def test_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``~`` is written out in every option that holds a path, and for the config itself."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x.yaml").write_text(MINIMAL)
    config = load_config(
        "~/x.yaml",
        [
            "output_dir=~/runs",
            "data={name: image_folder, root: ~/images, classes: ~/names.txt}",
            "classifier={name: 'local-dir:~/timm', checkpoint: ~/c.pt, num_classes: 10}",
            "transformer.checkpoint=~/t.pt",
            "transformer.num_classes=10",
            "vae.pretrained=~/vae",
        ],
    )
    content = config.model_dump()
    assert config.output_dir == f"{tmp_path}/runs"
    assert (content["data"]["root"], content["data"]["classes"]) == (f"{tmp_path}/images", f"{tmp_path}/names.txt")
    assert config.classifier.name == f"local-dir:{tmp_path}/timm"
    assert config.classifier.checkpoint == f"{tmp_path}/c.pt"
    assert content["transformer"]["checkpoint"] == f"{tmp_path}/t.pt"
    assert config.vae.pretrained == f"{tmp_path}/vae"
    eata = load_config("~/x.yaml", ["method.name=eata", "method.fisher_root=~/f", "classifier.trainable=norm"])
    assert eata.model_dump()["method"]["fisher_root"] == f"{tmp_path}/f"
    again = tmp_path / "again.yaml"
    again.write_text(to_yaml(config), encoding="utf-8")
    assert load_config(again) == config
    pretrain = read_config(Path("configs/digits_pretrain.yaml"), ["output_dir=~/p"], schema=PretrainConfig)
    assert pretrain.output_dir == f"{tmp_path}/p"


def test_real_configs_are_within_bounds(tmp_path: Path) -> None:
    """ImageNet-21k, 512 pixels, large batches, on a large machine."""
    path = tmp_path / "x.yaml"
    path.write_text(MINIMAL)
    names = ", ".join(f"n{number:08}" for number in range(21_841))
    config = load_config(
        path,
        [
            f"data={{name: image_folder, root: /d, classes: [{names}], batch_size: 4096, num_workers: 64}}",
            "classifier.num_classes=21841",
            "transformer={variant: SiT-XL/2, family: sit, checkpoint: x.pt, image_size: 512, num_classes: 21841}",
            "seed=4294967295",
            "distributed.timeout_minutes=1440",
            "run.num_threads=256",
        ],
    )
    assert config.data.batch_size == 4096
    path.write_text(to_yaml(config))
    assert load_config(path) == config


def test_aliases_and_merges_that_people_use() -> None:
    text = "a: &a {x: 1, y: [1, 2]}\nb: *a\nc: {<<: *a, x: 2}\nd: {<<: [*a, {z: 3}]}\n"
    a = {"x": 1, "y": [1, 2]}
    assert parse_yaml(text) == {"a": a, "b": a, "c": {**a, "x": 2}, "d": {**a, "z": 3}}
    inner = "top: {b: &b {<<: {xy: 1}, xy: 2}}\nc: {<<: *b}\n"  # merged into before it is used itself
    assert parse_yaml(inner) == {"top": {"b": {"xy": 2}}, "c": {"xy": 2}}
