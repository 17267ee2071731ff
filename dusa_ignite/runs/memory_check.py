"""Memory that will not do, or did not: one line that says what would take less."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import ignite.distributed as idist

from dusa_ignite.config import Config
from dusa_ignite.errors import OutOfMemory, UserError
from dusa_ignite.runs.assemble_models import micro_batch_size_of
from dusa_ignite.runs.assemble_shapes import smaller, with_micro_batches
from dusa_ignite.runs.memory import Memory, memory_of
from dusa_ignite.utils.memory import is_out_of_memory, readable

logger = logging.getLogger(__name__)


class Way(NamedTuple):
    """An option that may take less.

    Attributes:
        option: ``key=value``.
        memory: what the run takes with it.
    """

    option: str
    memory: Memory

    def __str__(self) -> str:
        return f"{self.option} ({readable(self.memory.total)})"


def check_memory(config: Config, *, refuse: bool, whole_run: bool = True) -> Memory:
    """The estimate for a run, before anything is built.

    Args:
        config: the whole.
        refuse: end where it does not fit; else this is only warned of.
        whole_run: ``False`` = an update alone.

    Raises:
        OutOfMemory: it takes more than is free; the message says what would make it fit.
    """
    memory = memory_of(config, whole_run=whole_run)
    if memory.fits:
        return memory
    if refuse:
        ways = advice(config, memory, whole_run=whole_run)
        raise OutOfMemory(f"{memory}: this does not fit; {ways}; run.memory_check=false tries it all the same")
    logger.warning("%s: this does not fit, and the system may end the run without a word", memory)
    return memory


def advice(config: Config, memory: Memory, *, whole_run: bool = True) -> str:
    """What takes less, option by option, with what the run takes on the device then; if any will do, those alone.

    Args:
        config: the run as it is.
        memory: the estimate for it. One that fits was too low: half a micro-batch is the next thing to try.
        whole_run: see :func:`dusa_ignite.runs.memory.memory_of`.
    """

    def way(option: str, changed: Config) -> Way:
        return Way(option, memory_of(changed, whole_run=whole_run))

    def with_micro_batch(size: int) -> Way:
        return way(f"data.micro_batch_size={size}", with_micro_batches(config, size))

    size = micro_batch_size_of(config)
    ways = [way(option, changed) for option, changed in smaller(config)]
    if size > 1:
        ways.insert(0, with_micro_batch(size // 2) if memory.fits else _largest_that_fits(with_micro_batch, size))
    less = [each for each in ways if _amount(each.memory) < _amount(memory)]
    enough = [] if memory.fits else [each for each in less if each.memory.fits]
    if enough:
        return f"what makes it fit: {' | '.join(map(str, enough))}"
    if less:
        alone = "what takes less" if memory.fits else "no option alone makes it fit, several may"
        return f"{alone}: {' | '.join(map(str, less))}"
    return "take smaller models, or a larger machine"


def _largest_that_fits(with_micro_batch: Callable[[int], Way], too_large: int) -> Way:
    """By bisection; where none fits, single images."""
    best, fitting = with_micro_batch(1), 1
    if not best.memory.fits:
        return best
    while too_large - fitting > 1:
        middle = (fitting + too_large) // 2
        tried = with_micro_batch(middle)
        if tried.memory.fits:
            best, fitting = tried, middle
        else:
            too_large = middle
    return best


def _amount(memory: Memory) -> int:
    return sum(need.total for need in memory.needs)


@contextmanager
def explained(config: Config, *, whole_run: bool = True) -> Iterator[None]:
    """Within this context memory that runs out is an error that the user can mend, with the same advice.

    Raises:
        OutOfMemory: instead of the errors of Python, torch and the system that say so.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(_what_ran_out(config, error, whole_run=whole_run)) from error


def _what_ran_out(config: Config, error: Exception, *, whole_run: bool) -> str:
    where = "the GPU" if idist.device().type == "cuda" else "this machine"
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    try:
        memory = memory_of(config, whole_run=whole_run)
        ways = f"{advice(config, memory, whole_run=whole_run)} (as it is: {readable(memory.total)}, by estimate)"
    except Exception:  # there may be too little memory even for that
        ways = "take a smaller data.micro_batch_size"
    return (
        f"the memory of {where} ran out ({reason}); {ways}; checkpoints stay, and --resume goes on from them, "
        f"with another data.micro_batch_size too"
    )
