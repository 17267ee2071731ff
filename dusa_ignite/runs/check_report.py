"""What a check found: sections of lines and problems, as text and as JSON."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dusa_ignite.errors import UserError

SHOWN = 10  # of a long list


class _Lines(logging.Handler):
    """Appends messages to a list."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.INFO)
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Append one."""
        self.lines.append(record.getMessage())


@dataclass
class Section:
    """What was found on one topic.

    Attributes:
        title: the topic, a word or two.
        lines: what is so, for a reader.
        problems: what keeps a run from beginning or from being right; a line each, perhaps with further lines below.
        facts: the same for programs, JSON values.
    """

    title: str
    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """An error that a user can mend becomes a problem, what the package logs a line, and the check goes on."""
        logger = logging.getLogger("dusa_ignite")
        before = logger.handlers, logger.propagate, logger.level
        logger.handlers, logger.propagate = [_Lines(self.lines)], False
        logger.setLevel(logging.INFO)
        try:
            yield
        except UserError as error:
            self.problems.append(str(error))
        finally:
            logger.handlers, logger.propagate = before[:2]
            logger.setLevel(before[2])


@dataclass(frozen=True)
class CheckReport:
    """All sections, in the order in which they were looked at."""

    sections: list[Section]

    @property
    def problems(self) -> list[str]:
        """Those of all sections."""
        return [problem for section in self.sections for problem in section.problems]

    def as_dict(self) -> dict[str, Any]:
        """JSON values: ``ready``, ``problems`` and ``sections`` by title, each with lines, problems and its facts."""
        sections = {
            section.title: {"lines": section.lines, "problems": section.problems, **section.facts}
            for section in self.sections
        }
        return {"ready": not self.problems, "problems": self.problems, "sections": sections}

    def as_text(self) -> str:
        """A paragraph per section; the last line is ``ready`` or how many problems there are."""
        paragraphs = [
            "\n".join(
                [
                    section.title,
                    *(_indented(line) for line in section.lines),
                    *(_indented(f"problem: {problem}") for problem in section.problems),
                ]
            )
            for section in self.sections
        ]
        count = len(self.problems)
        verdict = f"{count} problem{'s' * (count > 1)}" if count else "ready"
        return "\n\n".join([*paragraphs, verdict])


def some(names: list[str]) -> str:
    """The first few of a list, and a mark that there are more."""
    return ", ".join(names[:SHOWN]) + ", ..." * (len(names) > SHOWN)


def counted(number: int, thing: str) -> str:
    """``1 task``, ``1,200 images``; things that end in s take es."""
    plural = "es" if thing.endswith("s") else "s"
    return f"{number:,} {thing}{plural * (number != 1)}"


def _indented(text: str) -> str:
    return "\n".join(("    " if number else "  ") + line for number, line in enumerate(text.splitlines()))
