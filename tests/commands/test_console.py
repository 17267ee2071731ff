"""Output that cannot be written never ends a run; a command that is there to print something says that it could not."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.files import ROOT

from dusa_ignite.commands.main import main
from dusa_ignite.distributed.launch import PROCESSES_PER_CORE, _set_by_torchrun
from dusa_ignite.errors import ConfigError

RUN = [
    "adapt",
    "--config",
    "digits",
    "--overwrite",
    "run.max_batches=1",
    "data.limit=32",
    "data.corruptions=[contrast]",
    "data.clean_root=null",
    "method.name=source",
]
FULL = "standard output: cannot be written to (No space left on device)"


def command(*arguments: str, redirect: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a shell, its output redirected; what comes through is decoded as it would be shown."""
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$@" {redirect}', "bash", sys.executable, "-m", "dusa_ignite", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=240,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "unbuffered"),
    [(["schema"], ""), (["adapt", "--config", "digits", "--print-config"], "1")],
)
def test_a_full_disk_is_told_of(arguments: list[str], unbuffered: str) -> None:
    done = command(*arguments, redirect="> /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (2, f"error: {FULL}\n")


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "unbuffered"), [(["schema", "--markdown"], "1"), (["--help"], "")])
def test_a_reader_who_leaves(arguments: list[str], unbuffered: str) -> None:
    done = command(*arguments, redirect="| true", PYTHONUNBUFFERED=unbuffered)
    assert done.stderr == ""
    assert done.returncode in (0, 141)  # 0 where all was written before the reader left


def test_standard_output_is_closed() -> None:
    done = command("configs", redirect=">&-")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirect", "said"), [("> /dev/full", f"{FULL}; the run goes on\n"), ("| true", ""), (">&- 2>&-", "")]
)
def test_a_run_outlives_its_console(tmp_path: Path, redirect: str, said: str) -> None:
    done = command(*RUN, f"output_dir={tmp_path}", "name=größe", redirect=redirect)
    assert (done.returncode, done.stderr) == (0, said)
    assert (tmp_path / "größe" / "summary.json").is_file()
    assert "contrast" in (tmp_path / "größe" / "results.csv").read_text(encoding="utf-8")
    assert "größe: 1 tasks" in (tmp_path / "größe" / "log.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_console_in_ascii(tmp_path: Path) -> None:
    done = command(*RUN, f"output_dir={tmp_path}", "name=größe", PYTHONIOENCODING="ascii:strict")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "gr\\xf6\\xdfe: 1 tasks, 1 updates" in done.stdout
    assert "größe: 1 tasks, 1 updates" in (tmp_path / "größe" / "log.txt").read_text(encoding="utf-8")
    written = str(tmp_path / "größe" / "config.yaml")
    shown = command("adapt", "--config", written, "--print-config", PYTHONIOENCODING="ascii")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("name: gr\\xf6\\xdfe\n")


@pytest.mark.slow
def test_a_locale_in_ascii(tmp_path: Path) -> None:
    """Files are UTF-8 all the same; what the locale cannot name is refused."""
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0"}
    written = tmp_path / "x.yaml"
    written.write_text((ROOT / "configs" / "digits.yaml").read_text(encoding="utf-8") + "# ± →\n", encoding="utf-8")
    done = command(*RUN, "--config", str(written), f"output_dir={tmp_path}", "name=plain", **ascii_only)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "plain" / "summary.json").is_file()
    for name in ("name=größe", 'name="gr\\xf6\\xdfe"'):
        done = command(*RUN, f"output_dir={tmp_path}", name, **ascii_only)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "LC_ALL=C.UTF-8" in done.stderr


@pytest.mark.slow
def test_consoles_of_several_processes(tmp_path: Path) -> None:
    done = command(*RUN, f"output_dir={tmp_path}", "name=größe", "--nproc", "2", PYTHONIOENCODING="ascii:strict")
    assert done.returncode == 0, done.stderr
    assert "gr\\xf6\\xdfe: 1 tasks" in done.stdout
    done = command(*RUN, f"output_dir={tmp_path}", "name=größe", "--nproc", "2", redirect="| true")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_comparison_outlives_its_console(tmp_path: Path) -> None:
    options = [f"output_dir={tmp_path}", "name=größe", "run.max_batches=1", "data.limit=32", "data.corruptions=[fog]"]
    listed = ["compare", "--config", "digits", "--methods", "source,bn", "--seeds", "0"]
    for environment, redirect in (({}, "> /dev/full"), ({"PYTHONIOENCODING": "ascii:strict"}, "")):
        done = command(*listed, *options, redirect=redirect, **environment)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    assert "gr\\xf6\\xdfe" in done.stdout
    assert (tmp_path / "größe" / "comparison.md").is_file()


def test_too_many_processes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    most = PROCESSES_PER_CORE * len(os.sched_getaffinity(0))
    for wanted in (100_000, most + 1):
        assert main([*RUN, f"output_dir={tmp_path}", "--nproc", str(wanted)]) == 2
        line = f"error: --nproc: {wanted} processes are too many for this machine's cores; allowed: 1 .. {most}\n"
        assert capsys.readouterr().err == line


NONSENSE = r"\w+='.*': torchrun sets it to an integer; start with it, or unset LOCAL_RANK"


@pytest.mark.slow
def test_nonsense_in_the_place_of_torchrun(tmp_path: Path) -> None:
    done = command(*RUN, f"output_dir={tmp_path}", LOCAL_RANK="0")
    assert done.returncode == 2
    assert re.fullmatch(f"error: {NONSENSE}\n", done.stderr)


@pytest.mark.parametrize("value", ["abc", "9" * 5_000, "-1", "", None], ids=str)
def test_what_torchrun_sets_is_an_integer(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", value) if value is not None else monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(ConfigError) as refused:
        _set_by_torchrun("WORLD_SIZE")
    assert re.fullmatch(NONSENSE, str(refused.value))


def test_files_name_their_encoding() -> None:
    """Where none is named, it is the locale's: a run's files would be others on another machine."""
    places = []
    for path in sorted((ROOT / "dusa_ignite").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and is_text(node) and "encoding" not in [word.arg for word in node.keywords]:
                places.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert places == []


def is_text(call: ast.Call) -> bool:
    """Whether a call opens a text file, reads or writes one."""
    owner, _, name = ast.unparse(call.func).rpartition(".")
    binary = any(isinstance(mode, ast.Constant) and "b" in str(mode.value) for mode in call.args[:2])
    if name == "open":
        return owner not in ("os", "Image", "tarfile") and not binary
    return name in ("read_text", "write_text") and bool(owner)  # write_text alone is the package's own
