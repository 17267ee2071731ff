"""What a weights file or folder is, and the lines of a config that use it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch

from dusa_ignite.errors import CheckpointError
from dusa_ignite.models.guides.other_sizes import body_options, families_of
from dusa_ignite.models.guides.sizes import GuideSizes, guide_sizes
from dusa_ignite.models.guides.vae import LATENT_CHANNELS
from dusa_ignite.models.metadata import Metadata, read_metadata
from dusa_ignite.models.metadata_formats import VIEW
from dusa_ignite.models.timm_folder import is_timm_folder, parse_config
from dusa_ignite.models.weights.choose import fits
from dusa_ignite.models.weights.foreign_names import as_timm, library_of
from dusa_ignite.models.weights.load import sets_of_weights, the_only
from dusa_ignite.models.weights.places import Found, locate
from dusa_ignite.models.weights.read import read_content
from dusa_ignite.models.weights.values import check_values
from dusa_ignite.utils.quiet import quiet

HEADS = ("head.weight", "head.fc.weight", "fc.weight", "classifier.weight", "head.l.weight", "head.fc2.weight")
FIRST = 5  # names that are shown


@dataclass
class WeightsReport:
    """What weights are.

    Attributes:
        path: as given.
        kind: ``classifier``, ``guide``, ``vae`` or ``unknown``.
        architecture: of a classifier: timm's name, which fits by all names and shapes.
        family: of a guide: ``repa``, or ``sit or dit``, which cannot be told apart.
        variant: of a guide, if it is a published one.
        sizes: of a guide: image_size, patch_size, hidden_size, depth.
        num_classes: without a guide's unconditional one; ``None`` = unknown.
        averaged: whether they are running averages (EMA).
        nesting: the keys in the file that lead to the weights.
        prefix: what stands before all names.
        dtypes: types of the tensors, with the number of parameters of each.
        parameters: their number, buffers included.
        names: the first few.
        view: how images are to be prepared, as far as it is written in or beside the file.
        class_names: in the order of the outputs, as far as written.
        sources: where ``view``, ``class_names`` and others are written.
        files: each with its size in bytes and its SHA-256.
        problem: why the weights cannot be used, or ``None``.
        config: lines of YAML that use them; empty where nobody knows how.
    """

    path: str
    kind: str = "unknown"
    architecture: str | None = None
    family: str | None = None
    variant: str | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    num_classes: int | None = None
    averaged: bool = False
    nesting: list[str] = field(default_factory=list)
    prefix: str = ""
    dtypes: dict[str, int] = field(default_factory=dict)
    parameters: int = 0
    names: list[str] = field(default_factory=list)
    library: str | None = None
    view: dict[str, Any] = field(default_factory=dict)
    class_names: list[str] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    files: list[dict[str, Any]] = field(default_factory=list)
    problem: str | None = None
    config: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def inspect_weights(path: str | Path) -> WeightsReport:
    """Find out what weights are, without running anything that the file brings along.

    Args:
        path: a file, a folder, or another name that :func:`dusa_ignite.models.weights.locate` knows.

    Raises:
        CheckpointError: nothing can be read there, it holds no weights, or several sets of them.
    """
    where = f"inspect: {path}"
    found = locate(path, key="inspect", embedded=None)
    reading = the_only(sets_of_weights(found, where=where), where=where)
    weights = reading.weights
    written = read_metadata(path, key="inspect", content=_beside(found, where))
    report = WeightsReport(
        path=str(path),
        averaged=reading.averaged,
        nesting=list(reading.path),
        prefix=reading.prefix,
        dtypes=dict(sum((Counter({_short(v.dtype): v.numel()}) for v in weights.values()), Counter())),
        parameters=sum(value.numel() for value in weights.values()),
        names=list(weights)[:FIRST],
        library=library_of(weights),
        files=[{"name": file.name, "bytes": file.stat().st_size, "sha256": file_sha256(file)} for file in found.files],
    )
    try:
        check_values(weights, where="")
    except CheckpointError as error:
        report.problem = str(error).removeprefix(": ")
    if sizes := guide_sizes(weights):
        _describe_guide(report, sizes)
    elif (vae := _vae_config(found)) is not None:
        report.kind, report.library = "vae", "diffusers"
        scaling = vae.get("scaling_factor", 0.18215)
        report.config = ["vae:", f"  pretrained: {_quoted(path)}", f"  scaling_factor: {scaling}"]
    else:
        _describe_classifier(report, weights, written, found)
    return report


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, as ``sha256sum`` prints it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _describe_guide(report: WeightsReport, sizes: GuideSizes) -> None:
    report.kind, report.library = "guide", None
    report.family = families_of(sizes)
    report.num_classes = sizes.num_classes
    report.sizes = {
        "image_size": sizes.image_size,
        "patch_size": sizes.patch_size,
        "hidden_size": sizes.hidden_size,
        "depth": sizes.depth,
    }
    body = [option.removeprefix("transformer.").split("=", 1) for option in body_options(sizes)]
    if body[0][1] != "null":
        report.variant = body[0][1]
    family, *others = report.family.split(" or ")
    comment = f"  # or {' or '.join(others)}: their weights have the same names and shapes" if others else ""
    lines = [f"  {name}: {'???' if value.startswith('(') else value}" for name, value in body]
    lines = [f"{line}  # as trained; the file does not say" if line.endswith("???") else line for line in lines]
    report.config = [
        "transformer:",
        f"  family: {family}{comment}",
        *lines,
        f"  checkpoint: {_quoted(report.path)}",
        f"  num_classes: {sizes.num_classes}",
        f"  image_size: {sizes.image_size}",
        *([] if sizes.in_channels == LATENT_CHANNELS else ["vae:", "  pretrained: null"]),
    ]


def _describe_classifier(
    report: WeightsReport, weights: dict[str, torch.Tensor], written: Metadata, found: Found
) -> None:
    head = next((weights[name] for name in HEADS if name in weights and weights[name].dim() in (2, 4)), None)
    written_classes, classes_source = written.first("num_classes")
    classes = int(head.shape[0]) if head is not None else written_classes
    report.num_classes = classes
    for source, view in written.views.items():
        for key in VIEW:
            if key in view and key not in report.view:
                report.view[key], report.sources[key] = view[key], source
    report.class_names = list(written.class_names)
    name, name_source = written.first("architecture")
    others = (("class_names", written.names_source), ("architecture", name_source), ("num_classes", classes_source))
    report.sources |= {key: source for key, source in others if source}
    folder = parse_config(found.config) if found.config else None
    if (
        name is None
        or classes is None
        or not _is_timm(name, classes, weights, report.view, folder.model_args if folder else None)
    ):
        return
    report.kind, report.architecture = "classifier", name
    size = report.view.get("image_size")
    own = size != _default_size(name) and isinstance(size, int)
    if folder is not None and found.config is not None and found.config.parent == found.files[0].parent:
        named = report.path if is_timm_folder(report.path) else f"local-dir:{report.path}"
        if is_timm_folder(report.path) or Path(report.path).is_dir():
            report.config = ["classifier:", f"  name: {_quoted(named)}", f"  num_classes: {classes}"]
            return
    report.config = [
        "classifier:",
        f"  name: {name}",
        f"  checkpoint: {_quoted(report.path)}",
        f"  num_classes: {classes}",
        *([f"  image_size: {size}"] if own else []),
    ]


def _is_timm(name: str, classes: int, weights: Any, view: dict[str, Any], arguments: dict[str, Any] | None) -> bool:
    """Whether timm's model of this name has just these weights."""
    if not timm.is_model(name):
        return False
    variants = [weights, *(translated for _, translated in as_timm(weights))]
    for options in ({**(arguments or {})}, {"img_size": view.get("image_size")}):
        try:
            with torch.device("meta"), quiet():
                model = timm.create_model(name, pretrained=False, num_classes=classes, **options)
        except Exception:  # timm's models share no base class of errors; some cannot be built without memory
            continue
        if any(fits(variant, model.state_dict()) for variant in variants):
            return True
    return False


def _default_size(name: str) -> int | None:
    known = timm.get_pretrained_cfg(name)
    return int(known.input_size[-1]) if known is not None else None


def _vae_config(found: Found) -> dict[str, Any] | None:
    if found.config is None:
        return None
    try:
        config = json.loads(found.config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) and config.get("_class_name") == "AutoencoderKL" else None


def _beside(found: Found, where: str) -> Any:
    """What stands beside the weights of a training checkpoint."""
    return read_content(found.files[0], where=where) if found.files[0].suffix != ".safetensors" else None


def _short(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")


def _quoted(path: str | Path) -> str:
    """A path as YAML takes it."""
    text = str(path)
    return text if all(letter.isalnum() or letter in "/._-:@" for letter in text) else json.dumps(text)
