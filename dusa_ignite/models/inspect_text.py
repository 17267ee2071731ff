"""A report on weights as lines of text."""

from __future__ import annotations

from dusa_ignite.models.inspect_weights import WeightsReport
from dusa_ignite.models.weights.shown import shown
from dusa_ignite.utils.memory import readable

SHOWN = 5  # class names


def as_text(report: WeightsReport) -> str:
    """What the report says, a line each, then the lines of a config after an empty line.

    Args:
        report: of :func:`dusa_ignite.models.inspect_weights.inspect_weights`.
    """
    lines = [("weights", report.path), ("what", _what(report))]
    if report.sizes:
        lines.append(("sizes", ", ".join(f"{name} {size}" for name, size in report.sizes.items())))
    if report.num_classes is not None:
        lines.append(("classes", str(report.num_classes)))
    if report.class_names:
        names = ", ".join(map(shown, report.class_names[:SHOWN])) + (", ..." if len(report.class_names) > SHOWN else "")
        lines.append(("class names", f"{names} ({report.sources.get('class_names', 'as given')})"))
    lines.append(("averaged", "yes" if report.averaged else "no"))
    lines.append(("nesting", " > ".join(map(shown, report.nesting)) or "none"))
    lines.append(("prefix", shown(report.prefix) or "none"))
    types = ", ".join(f"{name} {count:,}" for name, count in report.dtypes.items())
    lines.append(("parameters", f"{report.parameters:,} ({types})"))
    for name, value in report.view.items():
        lines.append((f"view {name}", f"{shown(value)} ({report.sources[name]})"))
    if report.kind == "unknown":
        lines.append(("first names", ", ".join(map(shown, report.names))))
    for file in report.files:
        lines.append(("file", f"{file['name']}, {readable(file['bytes'])}, sha256 {file['sha256']}"))
    if report.problem:
        lines.append(("problem", report.problem))
    width = max(len(name) for name, _ in lines) + 2
    text = [f"{name:{width}}{value}" for name, value in lines]
    return "\n".join([*text, "", *(report.config or ["(no config lines: give classifier.name, or your own factory)"])])


def _what(report: WeightsReport) -> str:
    if report.kind == "classifier":
        return f"classifier, timm's {report.architecture} by all names and shapes"
    if report.kind == "guide":
        return f"guide, {report.variant or 'no published variant'}, family {report.family}"
    if report.kind == "vae":
        return "VAE in diffusers' format"
    return f"unknown, names as in {report.library}" if report.library else "unknown"
