"""Shipped configs: listed, printed as they are, and found by name wherever a config is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.files import CONFIGS

from dusa_ignite.commands.main import main
from dusa_ignite.errors import ConfigError
from dusa_ignite.utils.shipped import locate_config, shipped_configs

NAMES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def test_every_config_is_listed_with_a_line_about_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["configs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == NAMES
    assert all(len(line.split()) > 5 for line in lines)
    assert len({line.index(line.split(maxsplit=1)[1]) for line in lines}) == 1
    assert shipped_configs()["convnext_dit"].startswith("ConvNeXt-L taught by DiT-XL/2 on ImageNet-C")


@pytest.mark.parametrize("name", [*NAMES, "digits.yaml"])
def test_printed_as_it_is(name: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["configs", name]) == 0
    assert capfdbinary.readouterr().out == (CONFIGS / f"{name.removesuffix('.yaml')}.yaml").read_bytes()


def test_no_such_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["configs", "digit"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("error: digit: ")
    assert ", ".join(NAMES) in error


@pytest.mark.parametrize("name", ["convnext", "convnext.yaml"])
def test_located_by_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate_config(name).read_bytes() == (CONFIGS / "convnext.yaml").read_bytes()


def test_a_file_comes_before_a_shipped_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("digits").write_text("name: mine\n")
    Path("digits.yaml").write_text("name: mine\n")
    assert locate_config("digits") == Path("digits")
    assert locate_config("digits.yaml") == Path("digits.yaml")


def test_a_folder_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("digits").mkdir()
    assert locate_config("digits").read_bytes() == (CONFIGS / "digits.yaml").read_bytes()


@pytest.mark.parametrize("name", ["nowhere", "nowhere.yaml", "schema", "schema.json", ".."])
def test_neither(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        locate_config(name)
    assert name in str(error.value)
    assert ", ".join(NAMES) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["adapt"],
        ["pretrain"],
        ["bench"],
        ["compare", "--methods", "dusa"],
        ["tune", "--methods", "dusa", "--grid", "optimizer.lr=1,2"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_all_commands_take_names(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--config", "digts"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "digts" in error
    assert ", ".join(NAMES) in error
