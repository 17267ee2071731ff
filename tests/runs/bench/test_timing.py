"""Repetitions, quartiles, peaks, ceilings."""

from __future__ import annotations

import time

import pytest
import torch

from dusa_ignite.runs.bench import machine
from dusa_ignite.runs.bench.machine import CeilingNow, measure_ceilings
from dusa_ignite.runs.bench.timing import Spread, forget_peaks, peak_memory, repeated


def test_median_and_quartiles() -> None:
    spread = Spread((5.0, 1.0, 2.0, 4.0, 3.0))
    assert (spread.median, spread.quartiles) == (3.0, (2.0, 4.0))
    assert (Spread((2.0,)).median, Spread((2.0,)).quartiles) == (2.0, (2.0, 2.0))


def test_repeats_until_the_time_is_over() -> None:
    calls: list[int] = []
    assert len(repeated(lambda: calls.append(1), limit=0, least=3).times) == 3 == len(calls)
    assert len(repeated(lambda: None, limit=60, least=1, most=5).times) == 5
    begun = time.perf_counter()
    spread = repeated(lambda: time.sleep(0.02), limit=0.1)
    assert 3 <= len(spread.times) <= 5 + 1
    assert spread.median >= 0.02
    assert time.perf_counter() - begun < 5


def test_between_repetitions() -> None:
    """What happens there takes no time of theirs."""
    calls: list[str] = []
    spread = repeated(
        lambda: calls.append("update"), limit=0, least=2, between=lambda: (time.sleep(0.05), calls.append("between"))
    )
    assert calls == ["update", "between", "update", "between"]
    assert max(spread.times) < 0.05


@pytest.mark.skipif(peak_memory() is None or not forget_peaks(), reason="the system does not let peaks begin anew")
def test_peaks_begin_anew() -> None:
    large = torch.ones(2**26)  # 256 MiB
    with_it = peak_memory()
    del large
    assert forget_peaks()
    without = peak_memory()
    assert with_it is not None
    assert without is not None
    assert with_it - without > 2**27


def test_ceilings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock's second is replaced, so the numbers are known."""
    monkeypatch.setattr(machine, "repeated", lambda action, **_: Spread((0.5,)))
    ceilings = measure_ceilings(torch.device("cpu"), size="tiny", further="float64")
    product = 2 * 256**3 / 0.5
    assert ceilings.products == {"float32": product, "bfloat16": product, "float64": product}
    assert ceilings.copy == 2 * 2**22 / 0.5
    assert torch.get_float32_matmul_precision() == "highest"


def test_the_ceiling_beside_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that others slow down for a while: of three measurements the middle one counts."""
    seconds = iter([0.5, 2.0, 1.0])
    monkeypatch.setattr(machine, "repeated", lambda action, **_: Spread((next(seconds),)))
    ceiling = CeilingNow("float32", torch.device("cpu"), size="tiny")
    for _ in range(3):
        ceiling.measure()
    assert ceiling.median == 2 * 256**3 / 1.0
