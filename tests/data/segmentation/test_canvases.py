"""Canvases: labels that fit the ink, the same canvases under every corruption, and data that are always the same."""

from __future__ import annotations

import pickle

import pytest
import torch

from dusa_ignite.data.corruptions import CORRUPTIONS
from dusa_ignite.data.digits import clean_half
from dusa_ignite.data.segmentation.canvases import Canvases, CorruptedCanvases
from dusa_ignite.data.segmentation.drawing import CLASSES, draw_canvas, draw_ink


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_task_per_corruption_and_severity() -> None:
    tasks = Canvases(corruptions=("fog", "contrast"), severities=(2, 5), count=3).tasks()
    assert [task.name for task in tasks] == ["fog/2", "fog/5", "contrast/2", "contrast/5"]
    assert len(Canvases().tasks()) == len(CORRUPTIONS)
    assert tasks[0].classes == CLASSES
    assert (CLASSES[0], CLASSES[1], CLASSES[10]) == ("ground", "zero", "nine")
    image, labels = tasks[0].dataset[0]
    assert (image.dtype, tuple(image.shape)) == (torch.uint8, (3, 64, 64))
    assert isinstance(labels, torch.Tensor)
    assert (labels.dtype, tuple(labels.shape)) == (torch.int64, (64, 64))
    assert tasks[0].dataset.labels.tolist() == [-1, -1, -1]
    assert len(tasks[0].dataset) == 3


def test_corruptions_change_images_and_no_labels() -> None:
    clean = CorruptedCanvases(None, count=2, side=64)
    for corruption in CORRUPTIONS:
        mild, strong = (CorruptedCanvases(corruption, severity, count=2, side=64) for severity in (1, 5))
        for index in range(2):
            images = [data[index][0].float() for data in (clean, mild, strong)]
            assert all(torch.equal(data[index][1], clean[index][1]) for data in (mild, strong))
            assert 0 < (images[1] - images[0]).abs().mean() < (images[2] - images[0]).abs().mean(), corruption


def test_the_data_are_fixed_and_canvases_differ() -> None:
    few, many = (CorruptedCanvases("impulse_noise", 3, count=count, side=64) for count in (4, 9))
    for index in (3, 0):
        assert all(torch.equal(one, other) for one, other in zip(few[index], many[index], strict=True))
    assert torch.equal(few[-1][0], few[3][0])
    assert not torch.equal(few[0][1], few[1][1])
    with pytest.raises(IndexError):
        few[4]


def test_they_travel() -> None:
    data = CorruptedCanvases("fog", 4, count=50, side=64)
    packed = pickle.dumps(data)
    assert len(packed) < 2000  # what is drawn is drawn where it is needed
    again = pickle.loads(packed)
    assert torch.equal(again[7][0], data[7][0])
    assert again.fingerprint() == data.fingerprint()
    others = [CorruptedCanvases(*kind, count=count, side=side) for kind, count, side in (
        (("fog", 3), 50, 64), (("contrast", 4), 50, 64), (("fog", 4), 49, 64), (("fog", 4), 50, 96),
    )]  # fmt: skip
    assert len({each.fingerprint() for each in (data, *others)}) == 5


def test_labels_are_where_the_ink_is() -> None:
    """On canvases of one scan whose ink fills its square, squares of one colour are labelled, and nothing else is."""
    paper, digits = torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.tensor([7])
    for seed in range(5):
        image, labels = draw_canvas(paper, digits, side=64, generator=generator(seed))
        assert set(labels.unique().tolist()) == {0, 8}
        ink = (labels == 8).float()
        assert 16**2 <= ink.sum() <= 6 * 29**2  # three to six squares of 16 to 29 pixels, at least one of them placed
        inked = (image[:, labels == 8].T * 1e4).round()
        assert len(inked.unique(dim=0)) <= 6  # a colour per square, without the ground's texture
    blank, nothing = draw_canvas(torch.full_like(paper, 255), digits, side=64, generator=generator())
    assert nothing.eq(0).all()
    assert 0 <= blank.min() <= blank.max() <= 1


def test_digits_keep_their_shape() -> None:
    paper, digits = clean_half()
    ink = draw_ink(paper[0], 16)
    assert ink.shape == (16, 16)
    expected = 1 - paper[0, 0].float().view(16, 2, 16, 2).mean(dim=(1, 3)) / 255
    assert (ink - expected).abs().mean() < 0.05
    drawn = torch.zeros(len(CLASSES))
    for seed in range(40):
        _, labels = draw_canvas(paper, digits, side=64, generator=generator(seed))
        drawn += torch.bincount(labels.flatten(), minlength=len(CLASSES))
    shares = drawn / drawn.sum()
    assert 0.75 < shares[0] < 0.9
    assert (shares[1:] > 0.005).all()


def test_other_sides() -> None:
    image, labels = CorruptedCanvases("gaussian_blur", 5, count=1, side=96)[0]
    assert (tuple(image.shape), tuple(labels.shape)) == ((3, 96, 96), (96, 96))
