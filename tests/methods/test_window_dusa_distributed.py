"""Two processes make the update of one, for uneven and empty shares of a batch."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import pytest
import torch
from support.processes import in_processes
from support.tiny_diffusion import CLASSES, write_segformer, write_stable_diffusion

from dusa_ignite.methods.window_dusa import WindowDusa
from dusa_ignite.models.guides.times import uniform
from dusa_ignite.segmentation.load_guide import load_window_guide
from dusa_ignite.segmentation.load_segmenter import load_segmenter

pytestmark = pytest.mark.slow
SHOWN = ("conv_out", "classifier", "patch_embeddings.0.proj")


def adapt(folder: Path) -> dict[str, Any]:
    """Batches of three images and of one: their losses and what has become of some weights."""
    guide = load_window_guide(str(folder / "sd"), class_names=CLASSES, controlnet=None, window=32).double()
    segmenter = load_segmenter(str(folder / "segformer"), short_side=32).double()
    parameters = [p for model in (segmenter, guide.transformer) for p in model.parameters()]
    method = WindowDusa(
        WindowDusa.Options(window=32, stride=16, top_per_pixel=2, max_classes=3),
        classifier=segmenter,
        guide=guide,
        optimizer=torch.optim.Adam(parameters, lr=1e-3),
        time=uniform(t_min=0.05, t_max=0.2),
    )
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, 32, 32 + 8 * k, generator=generator, dtype=torch.float64) for k in range(4)]
    losses = []
    for batch in ([0, 1, 2], [3]):
        own = np.array_split(batch, idist.get_world_size())[idist.get_rank()].tolist()
        shown = [images[index][..., :32] for index in own]
        step = method.adapt(shown, {"index": torch.tensor(own), "task": "fog"})  # type: ignore[typeddict-item]
        assert len(step.logits) == len(own)
        losses.append(step.loss)
    named = [*segmenter.named_parameters(), *guide.named_parameters()]
    return {"losses": losses, **{n: p.detach() for n, p in named if any(part in n for part in SHOWN)}}


def test_two_processes_are_one(tmp_path: Path) -> None:
    write_stable_diffusion(tmp_path / "sd")
    write_segformer(tmp_path / "segformer")
    (tmp_path / "results").mkdir()
    alone, (first, second) = adapt(tmp_path), in_processes(partial(adapt, tmp_path), tmp_path / "results")
    assert len(alone) > 6
    assert first["losses"] == second["losses"] == pytest.approx(alone["losses"], rel=1e-10)
    for name in alone.keys() - {"losses"}:
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], alone[name], rtol=1e-7, atol=1e-9)
