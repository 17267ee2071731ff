"""What the README shows runs as it stands there."""

from __future__ import annotations

import re

import pytest
from support.files import ROOT

README = (ROOT / "README.md").read_text()


def test_python_example(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    monkeypatch.chdir(ROOT)
    exec(compile(example, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [re.sub(r"[\d.]+%", "N%", line) for line in lines] == ["fog/5: N%", "contrast/5: N%"]


def test_files_that_are_named_exist() -> None:
    for link in re.findall(r"\]\(((?!http)[^)]+)\)", README):
        assert (ROOT / link).exists(), link
    for config in re.findall(r"`(\w+\.yaml)`", README):
        assert (ROOT / "configs" / config).exists() or config == "config.yaml", config
