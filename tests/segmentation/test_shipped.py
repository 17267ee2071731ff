"""The models for canvases that travel with the package: they load, and they are as good as is said of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dusa_ignite.data.segmentation.canvases import CorruptedCanvases
from dusa_ignite.data.segmentation.drawing import CLASSES
from dusa_ignite.errors import CheckpointError
from dusa_ignite.methods.window_dusa import WindowDusa
from dusa_ignite.models.guides.times import fixed
from dusa_ignite.pretraining import shapes_measure
from dusa_ignite.pretraining.shapes_data import draw_canvases
from dusa_ignite.segmentation.counts import image_counts
from dusa_ignite.segmentation.load_guide import load_window_guide
from dusa_ignite.segmentation.load_segmenter import load_segmenter
from dusa_ignite.segmentation.scores import mean_iou, pixel_accuracy
from dusa_ignite.segmentation.segmenter import Segmenter
from dusa_ignite.segmentation.shipped import shipped_shapes
from dusa_ignite.segmentation.window_guide import WindowGuide


def segmenter() -> Segmenter:
    return load_segmenter("embedded", short_side=64, batch_norm="source")


def guide(**options: object) -> WindowGuide:
    return load_window_guide(
        "embedded", **{"class_names": CLASSES, "controlnet": None, "window": 32, **options}  # type: ignore[arg-type]
    )  # fmt: skip


@torch.no_grad()
def scores(model: Segmenter, data: CorruptedCanvases) -> tuple[float, float]:
    counts = np.zeros((3, len(CLASSES)), dtype=np.int64)
    for image, labels in (data[index] for index in range(len(data))):
        counts += image_counts(model(image[None] / 255)[0], labels).numpy()
    return float(mean_iou(counts)), float(pixel_accuracy(counts))


def test_the_segmenter_knows_clean_canvases_and_not_corrupted_ones() -> None:
    model = segmenter()
    assert model.class_names == CLASSES
    clean = scores(model, CorruptedCanvases(None, count=25, side=64))
    fog = scores(model, CorruptedCanvases("fog", 5, count=25, side=64))
    assert 0.8 < clean[0] < 0.95
    assert 0.96 < clean[1] < 0.99
    assert 0.3 < fog[0] < clean[0] - 0.1


def test_the_guide_tells_classes_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes_measure, "WINDOWS", 32)
    monkeypatch.setattr(shapes_measure, "TIMES", (0.3,))
    own = guide()
    drawn = draw_canvases(20, side=64, seed=0, validation=True)
    shares = shapes_measure.measure_guide(own.transformer, drawn, window=32, path=own.path)
    assert shares["digit_0.3"] > 0.6
    assert shares["ink_0.3"] > 0.7
    assert shares["ground_0.3"] > 0.65


def test_they_are_small_and_fit_together() -> None:
    folder = shipped_shapes("guide").parent
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 4_000_000
    model, teacher = segmenter(), guide()
    parameters = [*model.parameters(), *teacher.transformer.parameters()]
    method = WindowDusa(
        WindowDusa.Options(window=32, stride=32, top_per_pixel=2, max_classes=2),
        classifier=model,
        guide=teacher,
        optimizer=torch.optim.AdamW(parameters, lr=1e-5, weight_decay=0.0),
        time=fixed(t=0.3),
        micro_batch_size=8,
    )
    image, _ = CorruptedCanvases("fog", 3, count=1, side=64)[0]
    step = method.adapt(image[None] / 255, {"index": torch.tensor([0]), "task": "fog/3"})  # type: ignore[typeddict-item]
    assert step.stepped
    assert 0 < step.loss < 0.5
    assert step.logits.shape == (1, 11, 32, 32)


def test_the_guide_is_for_these_classes_alone() -> None:
    with pytest.raises(
        CheckpointError, match=r"pretrained: embedded: prompts.safetensors: class 0 is 'ground' there and"
    ):
        guide(class_names=("floor", *CLASSES[1:]))
