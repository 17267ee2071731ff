"""``dusa-ignite``: every command answers at once, wrong names are told, and the scripts in launch/ are doors to it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.files import ROOT

import dusa_ignite
from dusa_ignite.commands.main import COMMANDS, main

HEAVY = ("torch", "numpy", "matplotlib", "pydantic", "timm", "diffusers", "clearml", "ignite")
DOORS = {
    "main": "adapt",
    **{name: name for name in ("check", "compare", "tune", "report", "pretrain", "bench")},
}
TIMED_HELP = """
import sys, time
begun = time.perf_counter()
from dusa_ignite.commands.main import main
try:
    main([{arguments}])
except SystemExit as stop:
    assert not stop.code
seconds = time.perf_counter() - begun
loaded = sorted(set({heavy}) & set(sys.modules))
print(f"{{seconds:.2f}} s, loaded: {{loaded}}", file=sys.stderr)
assert not loaded
assert seconds < 1
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("arguments", [["--help"], ["configs"], *([name, "--help"] for name in COMMANDS)])
def test_answers_at_once_without_torch(arguments: list[str]) -> None:
    """The best of three: other tests run at the same time."""
    script = TIMED_HELP.format(arguments=", ".join(map(repr, arguments)), heavy=HEAVY)
    for _ in range(3):
        done = run("-c", script)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    if arguments[-1] == "--help":
        assert done.stdout.startswith("usage: " + " ".join(["dusa-ignite", *arguments[:-1]]))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_texts_are_sentences(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([name, "--help"])
    options = capsys.readouterr().out.split("options:\n")[1].split("\n\nexample:")[0]
    for entry in options.split("\n  -")[1:]:
        assert " ".join(entry.split()).endswith(".") or entry.startswith("h, --help"), entry


def test_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    for name, what in COMMANDS.items():
        assert f"  {name:9} {what}" in shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"dusa-ignite {dusa_ignite.__version__}\n"


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "nearest"), [("adpt", "adapt"), ("compair", "compare"), ("shema", "schema")])
def test_unknown_command(name: str, nearest: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--config", "x"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"error: {name}: no such command, did you mean {nearest}? (adapt | check | compare | ")


def test_arguments_reach_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adapt", "--config", "digits", "--print-config", "name=mine", "optimizer.lr=1e-4"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("name: mine\n")
    assert "lr: 0.0001" in shown


def test_as_a_module() -> None:
    done = run("-m", "dusa_ignite", "report", "nowhere")
    assert done.returncode == 2
    assert done.stderr == "error: nowhere: holds no results.csv; give the folder of a run\n"


@pytest.mark.parametrize(("script", "command"), DOORS.items())
def test_doors(script: str, command: str) -> None:
    done = run(f"launch/{script}.py", "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: python launch/{script}.py [-h]")
    own = run("-m", "dusa_ignite", command, "--help")

    def options(text: str) -> str:
        return " ".join(text.split("options:\n")[1].split())

    assert options(done.stdout) == options(own.stdout)
