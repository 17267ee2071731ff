"""What the documentation shows: links lead somewhere, commands and options exist, Python runs as it stands there."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.files import CONFIGS, ROOT

from dusa_ignite.commands.main import COMMANDS
from dusa_ignite.config import load_config
from dusa_ignite.methods import METHODS

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CONTINUES = "<!-- continues the block before -->\n"
SCRIPTS = {"main": "adapt"}  # in launch/: the others have their command's name


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links write them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def shell_lines(page: Path) -> Iterator[list[str]]:
    """Every line of every bash block, taken apart; lines that end in a backslash go on in the next."""
    for block in re.findall(r"^```bash\n(.*?)^```$", page.read_text(), flags=re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            yield shlex.split(line, comments=True)


def calls(page: Path) -> Iterator[tuple[str, list[str]]]:
    """The commands of this package in a page's bash blocks: which one, and its arguments."""
    for words in shell_lines(page):
        for place, word in enumerate(words):
            script = re.fullmatch(r"launch/(\w+)\.py", word)
            if script:
                yield SCRIPTS.get(script[1], script[1]), words[place + 1 :]
            elif word in ("dusa-ignite", "dusa_ignite") and len(words) > place + 1 and words[place - 1] != "--tag":
                after = words[place + 1 :]  # behind the image's name stand the arguments of adapt
                yield ("adapt", after) if word == "dusa_ignite" else (after[0], after[1:])


def until(arguments: list[str]) -> list[str]:
    """Arguments up to where the shell goes on with something else."""
    end = next((k for k, word in enumerate(arguments) if word in (">", "|", "&", ";", "&&")), len(arguments))
    return arguments[:end]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(((?!https?:)[^)\s]+)\)", prose(page))
    for link in links:
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
        assert target.is_relative_to(ROOT / "docs") or page.parent == ROOT, f"{link}: leads out of the web site"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_their_options_exist(page: Path) -> None:
    for command, arguments in calls(page):
        assert command in COMMANDS, command
        parser = importlib.import_module(f"dusa_ignite.commands.{command}").parser(None)
        known = {option for action in parser._actions for option in action.option_strings}
        assert {word for word in until(arguments) if word.startswith("--")} <= known, arguments
    named = re.findall(r"`(?:python -m |)dusa-ignite (\w+)", page.read_text())
    assert set(named) <= COMMANDS.keys()
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([\w-]+)", page.read_text(), flags=re.MULTILINE)) <= targets
    for file in re.findall(r"`((?:tests|docs|configs|launch|dusa_ignite)/[\w/.-]*)`", prose(page)):
        assert (ROOT / file).exists() or "/my_" in file, file


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_configs_exist_and_take_the_overrides(page: Path) -> None:
    for command, arguments in calls(page):
        words = until(arguments)
        if "--config" not in words:
            continue
        config = words[words.index("--config") + 1]
        if f'title="{config}"' in page.read_text(encoding="utf-8"):
            continue  # a file that the page shows
        path = ROOT / config if "/" in config else CONFIGS / f"{config.removesuffix('.yaml')}.yaml"
        assert path.is_file(), config
        if command in ("adapt", "bench"):
            load_config(path, [word for word in words if re.match(r"[\w.]+=", word)])


def test_the_methods_are_those_in_the_tables() -> None:
    methods = {method.Options.model_fields["name"].default for method in METHODS}
    for page in (ROOT / "README.md", ROOT / "docs" / "methods.md"):
        table = page.read_text().partition("| `method.name` | what it does")[2].partition("\n\n")[0]
        named = {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1:2][0])}
        assert named == methods


@pytest.fixture
def run_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Runs a page's Python in an empty folder: each block is a program, unless marked to continue the last one."""
    (tmp_path / "configs").symlink_to(CONFIGS)
    monkeypatch.chdir(tmp_path)
    deterministic = torch.are_deterministic_algorithms_enabled()

    def run(page: Path) -> None:
        blocks = re.findall(rf"({CONTINUES})?```python\n(.*?)^```$", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        assert blocks
        names: dict[str, Any] = {}
        for continues, code in blocks:
            names = names if continues else {"__name__": "__main__"}
            exec(compile(code, name_of(page), "exec"), names)

    yield run
    torch.use_deterministic_algorithms(deterministic)


def test_python_in_the_readme_runs(run_blocks: Callable[[Path], None], capsys: pytest.CaptureFixture[str]) -> None:
    run_blocks(ROOT / "README.md")
    lines = capsys.readouterr().out.splitlines()
    assert [re.sub(r"[\d.]+%", "N%", line) for line in lines] == ["fog/5: N%", "contrast/5: N%"]


def test_python_of_the_library_runs(run_blocks: Callable[[Path], None], capsys: pytest.CaptureFixture[str]) -> None:
    run_blocks(ROOT / "docs" / "library.md")
    lines = [re.sub(r"[\d.]+%", "N%", line) for line in capsys.readouterr().out.splitlines()]
    assert lines[:2] == ["torch.Size([16, 10])", "48 {}"]
    assert lines[2:6] == ["fog/5: N%", "contrast/5: N%", "32 32", "32"]
    assert [re.sub(r"-?\d\.\d\d$", "N", line) for line in lines[6:8]] == ["update 2: loss N", "update 4: loss N"]
    assert lines[8:] == ["True", "0", "torch.Size([2, 10])"]


def test_python_in_its_page_runs(run_blocks: Callable[[Path], None], capsys: pytest.CaptureFixture[str]) -> None:
    run_blocks(ROOT / "docs" / "python.md")
    lines = capsys.readouterr().out.splitlines()
    assert "torch.Size([32, 10])" in lines
    assert lines[-1] == "[8, 8, 4]"
