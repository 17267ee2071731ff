"""How long many runs will still take."""

from __future__ import annotations

from dusa_ignite.comparison.time_left import TimeLeft


def test_runs_take_as_long_as_those_of_their_label() -> None:
    time_left = TimeLeft()
    assert time_left.estimate(["source"]) is None
    time_left.add("source", 10.0)
    assert time_left.estimate(["source", "dusa", "dusa"]) == 30.0  # nothing else is known
    time_left.add("dusa", 100.0)
    time_left.add("dusa", 200.0)
    assert time_left.estimate(["source", "dusa", "dusa"]) == 10 + 150 + 150
    assert time_left.estimate([]) == 0
