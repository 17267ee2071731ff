"""What was measured, as tables of text."""

from __future__ import annotations

from collections.abc import Sequence

from dusa_ignite.results.tables import text_table
from dusa_ignite.runs.bench.bench import Result
from dusa_ignite.runs.bench.machine import Ceilings
from dusa_ignite.runs.bench.parts import Part
from dusa_ignite.runs.bench.processes import told
from dusa_ignite.runs.bench.row import Row
from dusa_ignite.runs.bench.variants import SHIPPED

HEADER = (
    "variant", "images/s", "quartiles", "first (s)", "ceiling", "guide work", "peak GiB", "estimate", "micro", "loss",
    "classifier's grad.", "transformer's grad.",
)  # fmt: skip
BY_DESIGN = "by design"  # the sampled backward's gradient is another one, equal in the mean alone


def report(result: Result) -> str:
    """All tables, with a heading each."""
    about = result.about
    heading = (
        f"{about['config']}, {about['method']}, size {about['size']}, updates of {about['batch_size']} images; "
        f"{about['cpu_cores']} cores, {about['torch_threads']} threads, {', '.join(about['gpus']) or 'no GPU'}, "
        f"{about['device']}{told(about['processes'], result.sums, result.rows)}"
    )
    trained = next((row.trained_parameters for row in result.rows if row.trained_parameters), 0)
    sections = [
        f"{heading}\ntrained parameters: {trained / 1e6:.1f} M",
        ceilings_table(result.ceilings),
        variants_table(result.rows),
    ]
    if result.parts:
        sections.append(parts_table(result.parts, result.rows))
    if result.growth:
        sections.append(variants_table(result.growth))
    if result.checkpoint:
        sections.append(text_table(["checkpoint", ""], result.checkpoint, last_apart=False))
    return "\n\n".join(sections)


def ceilings_table(ceilings: Ceilings) -> str:
    """Of the machine."""
    rows = [[f"matrix product, {name}", f"{value / 1e12:.3g} TFLOP/s"] for name, value in ceilings.products.items()]
    return text_table(["ceilings", ""], [*rows, ["memory copy", f"{ceilings.copy / 1e9:.3g} GB/s"]], last_apart=False)


def variants_table(rows: Sequence[Row]) -> str:
    """A line per variant; what went wrong stands below the table."""
    lines = [_line(row) for row in rows]
    notes = [f"{row.name}: {row.error}" for row in rows if row.error]
    return "\n".join([text_table(HEADER, lines, last_apart=False), *notes])


def _line(row: Row) -> list[str]:
    speed = row.images_per_second
    shown = "failed" if row.error and speed is None else "-" if speed is None else _number(speed[0])
    sampled = row.gradient_differences and "method.transformer_backward=sampled" in row.overrides
    return [
        row.name,
        shown,
        "-" if speed is None else f"{_number(speed[1])} .. {_number(speed[2])}",
        "-" if row.first_update is None else f"{row.first_update:.2f}",
        "-" if row.of_ceiling is None else f"{row.of_ceiling:.0%} {row.precision}",
        "-" if row.guide_work is None else f"{row.guide_work:g}",
        _gib(row.peak_memory),
        _gib(row.estimate),
        str(row.micro_batch_size or "-"),
        _difference(row, row.loss_difference),
        _difference(row, row.gradient_differences.get("classifier")),
        BY_DESIGN
        if sampled and row.gradient_differences
        else _difference(row, row.gradient_differences.get("transformer")),
    ]


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _gib(size: int | None) -> str:
    return "-" if size is None else f"{size / 2**30:.2f}"


def _difference(row: Row, value: float | None) -> str:
    if row.name == SHIPPED:
        return "reference"
    return "-" if value is None else "equal" if value == 0 else f"{value:.0e}"


def parts_table(parts: Sequence[Part], rows: Sequence[Row]) -> str:
    """A line per part, and its share of an update of the same images."""
    whole = {row.name: row for row in rows}
    lines = []
    for part in parts:
        row = whole[part.variant]
        share = part.seconds / row.seconds[0] * row.batch_size / part.images if row.seconds else None
        lines.append(
            [
                f"{part.variant}: {part.name}",
                str(part.images),
                f"{1e3 * part.seconds:.1f}",
                "-" if share is None else f"{share:.1%}",
                f"{part.tflop:.3g}" if part.tflop else "-",
                f"{part.tflop / part.seconds:.3g}" if part.tflop else "-",
                "-" if part.of_ceiling is None else f"{part.of_ceiling:.0%}",
            ]
        )
    return text_table(
        ["part, alone", "images", "ms", "of an update", "TFLOP", "TFLOP/s", "ceiling"], lines, last_apart=False
    )
