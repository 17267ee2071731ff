"""A check's report as text, and errors that become problems."""

from __future__ import annotations

import logging

import pytest

from dusa_ignite.errors import DataError
from dusa_ignite.runs.check_report import CheckReport, Section, counted


def test_the_text_of_a_report() -> None:
    report = CheckReport([Section("data", ["a", "b\nc"], ["wrong\nhere"]), Section("guide", ["d"], ["e"])])
    assert report.as_text() == (
        "data\n  a\n  b\n    c\n  problem: wrong\n    here\n\nguide\n  d\n  problem: e\n\n2 problems"
    )
    assert [counted(1, "class"), counted(2, "class"), counted(1200, "image")] == [
        "1 class",
        "2 classes",
        "1,200 images",
    ]


def test_errors_become_problems_and_log_messages_lines() -> None:
    logger, section = logging.getLogger("dusa_ignite"), Section("data")
    before = logger.handlers, logger.level, logger.propagate
    with section.collecting():
        logging.getLogger("dusa_ignite.part").info("took %d", 3)
        raise DataError("gone")
    assert (section.lines, section.problems) == (["took 3"], ["gone"])
    assert (logger.handlers, logger.level, logger.propagate) == before
    with pytest.raises(ZeroDivisionError), section.collecting():  # a defect is none of it
        _ = 1 / 0
