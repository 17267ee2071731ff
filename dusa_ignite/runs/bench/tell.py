"""A measurement told while it goes on, kept in files, and printed by the first of the processes."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import ignite.distributed as idist

from dusa_ignite.errors import ConfigError
from dusa_ignite.runs.bench.bench import Request, Result, run_bench
from dusa_ignite.runs.bench.picture import plot_variants
from dusa_ignite.runs.bench.row import Row
from dusa_ignite.runs.bench.tables import report


def measure_and_tell(request: Request, *, json_file: Path | None, png: Path | None) -> None:
    """Measure and print; several processes share each batch, and the first one prints.

    Args:
        request: what is asked for.
        json_file: gets all numbers, after every variant; ``None`` = none.
        png: gets a picture of the images per second; ``None`` = none.

    Raises:
        ConfigError: something that is asked for cannot be used, or no variant could be measured.
    """
    begun = time.perf_counter()
    is_first = idist.get_rank() == 0

    def told(result: Result, row: Row) -> None:
        """Say it at once, and keep it: a measurement that is cut short has not been for nothing."""
        if not is_first:
            return
        speed = f"{row.images_per_second[0]:.3g} images/s" if row.images_per_second else row.error
        print(f"{row.name}: {speed or 'done'}, {time.perf_counter() - begun:.0f} s so far", file=sys.stderr, flush=True)
        if json_file is not None:
            json_file.write_text(json.dumps(result.as_json(), indent=1) + "\n", encoding="utf-8")

    result = run_bench(request, on_row=told)
    if is_first:
        print(report(result), flush=True)
        if png is not None:
            about = result.about
            plot_variants(png, result.rows, title=f"{about['config']}, {about['method']}, size {about['size']}")
    idist.barrier()  # the first process has printed: the first exit is taken for the end of all
    if all(row.error for row in result.rows):
        raise ConfigError("--variants: none of them could be measured; the table says why")


def measure_in_process(local_rank: int, request: Request, json_file: Path | None, png: Path | None) -> None:
    """The same as one of several processes."""
    measure_and_tell(request, json_file=json_file, png=png)
