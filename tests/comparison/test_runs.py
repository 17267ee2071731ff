"""What is said while many runs are made; the runs themselves take no time here."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from support.written_runs import DIGITS

from dusa_ignite.comparison import runs
from dusa_ignite.comparison.plan import make_plan


class Clock:
    """Stands still until a run is made."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_progress_over_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = Clock(), []
    seconds = {"source": 10.0, "dusa": 300.0}

    class Process:
        pid, exitcode = None, 0

        def __init__(self, target: object, args: tuple[Any, ...]) -> None:
            self.method = args[0].method.name

        def start(self) -> None:
            pass

        def join(self) -> None:
            clock.now += seconds[self.method]

    class Context:
        def set_forkserver_preload(self, modules: list[str]) -> None:
            pass

    Context.Process = Process  # type: ignore[attr-defined]
    monkeypatch.setattr(multiprocessing, "get_context", lambda name: Context())
    monkeypatch.setattr(runs, "time", clock)
    monkeypatch.setattr(runs.logger, "info", lambda text, *values: said.append(text % values))
    plan = make_plan(DIGITS, methods="source,dusa", seeds="0,1", output=tmp_path)
    assert runs.run_all(plan.runs) == 0
    assert said == [
        f"[1/4] source, seed 0 ({tmp_path}/source_seed0/log.txt)",
        "        10 s; 10 s so far, about 30 s left",
        f"[2/4] source, seed 1 ({tmp_path}/source_seed1/log.txt)",
        "        10 s; 20 s so far, about 20 s left",
        f"[3/4] dusa, seed 0 ({tmp_path}/dusa_seed0/log.txt)",
        "        5 min; 5 min so far, about 5 min left",
        f"[4/4] dusa, seed 1 ({tmp_path}/dusa_seed1/log.txt)",
        "        5 min",
    ]
