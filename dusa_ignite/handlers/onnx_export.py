"""A classifier as an ONNX file, which runs without this package, and without torch."""

from __future__ import annotations

import copy
import importlib.util
import logging
import os
from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dusa_ignite.errors import ConfigError
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.utils.quiet import quiet

NEEDED = ("onnx", "onnxscript")  # packages of torch's exporter
OLDEST_TORCH = "2.7"  # the exporter of the one before cannot read BatchNorm with the onnxscript that there is now
IN_ONE_FILE = 1_900_000_000  # bytes of weights; a file of protobuf holds 2 GiB, further weights lie beside it


def check_onnx() -> None:
    """Find out early whether there is what torch's exporter needs.

    Raises:
        ConfigError: there is not, or torch is too old.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"export: onnx needs {' and '.join(missing)}: pip install 'dusa_ignite[onnx]'")
    if torch.__version__ < OLDEST_TORCH:  # compared as versions
        raise ConfigError(
            f"export: onnx needs torch {OLDEST_TORCH} or newer, and this is {torch.__version__}: "
            "pip install --upgrade torch torchvision, or set export=classifier"
        )


class Normalised(nn.Module):
    """The backbone of a classifier as it is now, with the normalisation of its view, in float32 on the CPU.

    BatchNorm layers take the stored statistics, which do not depend on who shares a batch.

    Args:
        classifier: stays as it is.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(classifier.backbone).requires_grad_(False)
        for module in self.backbone.modules():
            if isinstance(module, _BatchNorm):
                module.track_running_stats = True
        self.register_buffer("mean", classifier.mean.clone())
        self.register_buffer("std", classifier.std.clone())
        self.float().cpu().eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, num_classes) logits of (B, 3, S, S) in [0, 1]."""
        return self.backbone((images - self.mean) / self.std)


def write_onnx(classifier: Classifier, path: Path) -> None:
    """Write ``images`` -> ``logits`` by torch's exporter; what stands there is replaced when the new one is complete.

    ``images`` are float32 RGB (B, 3, S, S) in [0, 1], cut and resized as the view says, any B; ``logits`` are
    (B, num_classes).

    Args:
        classifier: stays as it is.
        path: of the file.

    Raises:
        Exception: of almost any kind, where torch cannot export the model.
    """
    model = Normalised(classifier)
    size = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    images = torch.zeros(2, 3, classifier.image_size, classifier.image_size)
    part = path.with_name(path.name + ".part") if size < IN_ONE_FILE else path
    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)
    try:
        with quiet(), torch.random.fork_rng(devices=[]):
            torch.onnx.export(
                model,
                (images,),
                str(part),
                dynamo=True,
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                external_data=size >= IN_ONE_FILE,
                verbose=False,
            )
    finally:
        exporter_log.setLevel(level)
    os.replace(part, path)
