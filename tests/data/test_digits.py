"""The digits: the fixed split, the tasks made of it, and the weights that ship for them."""

import hashlib
import pickle
import sys

import pytest
import torch
from pydantic import ValidationError
from sklearn.datasets import load_digits

from dusa_ignite.data import digits
from dusa_ignite.data.clean import clean_images
from dusa_ignite.data.corruptions import CORRUPTIONS
from dusa_ignite.data.digits import CLASSES, CorruptedDigits, Digits, clean_half, task_half, validation_mask
from dusa_ignite.errors import DataError
from dusa_ignite.models import build_classifier, load_transformer
from dusa_ignite.models.guides.paths import linear
from dusa_ignite.models.views import guide_view


def test_halves() -> None:
    (clean, clean_labels), (task, task_labels) = clean_half(), task_half()
    assert clean.shape == (899, 3, 32, 32)
    assert task.shape == (898, 3, 32, 32)
    assert clean.dtype == task.dtype == torch.uint8
    assert clean_labels.bincount().tolist() == [89, 91, 89, 91, 91, 91, 90, 90, 87, 90]
    assert task_labels.bincount().tolist() == [89, 91, 88, 92, 90, 91, 91, 89, 87, 90]


def test_halves_share_no_scan_and_leave_none_out() -> None:
    scans, labels = load_digits(return_X_y=True)
    ink = (1 - torch.cat([clean_half()[0], task_half()[0]])[:, 0].float() / 255).mean(dim=(1, 2))
    # ink survives the enlargement but for rounding and clipping, so both multisets of (label, ink) must be one
    order = torch.cat([clean_half()[1], task_half()[1]]) * 10 + ink
    own = torch.from_numpy(labels * 10 + scans.mean(axis=1) / 16).float()
    assert len(order) == 1797
    torch.testing.assert_close(order.sort().values, own.sort().values, rtol=0, atol=0.03)
    distinct = {image.numpy().tobytes() for image in torch.cat([clean_half()[0], task_half()[0]])}
    assert len(distinct) == 1797


def test_scans_are_dark_ink_on_white_paper() -> None:
    scans, _ = load_digits(return_X_y=True)
    images, labels = clean_half()
    assert labels[0] == 0  # the first scan of all is a zero, and so the clean half's first
    assert torch.equal(images[0, 0], images[0, 2])  # grey
    small = torch.nn.functional.interpolate(images[:1].float() / 255, size=8, mode="area")[0, 0]
    torch.testing.assert_close(1 - small, torch.from_numpy(scans[0].reshape(8, 8) / 16).float(), rtol=0, atol=0.2)


def test_callers_cannot_spoil_each_others_images() -> None:
    clean_half()[0].zero_()
    assert clean_half()[0].float().mean() > 100


def test_validation_part() -> None:
    mask = validation_mask(899)
    assert mask.sum() == 149
    assert mask.nonzero()[:2].flatten().tolist() == [5, 11]
    assert clean_half()[1][mask].bincount().min() == 14  # all classes in it


def test_tasks_in_order() -> None:
    tasks = Digits(corruptions=("fog", "contrast"), severities=(5, 1)).tasks()
    assert [task.name for task in tasks] == ["fog/5", "fog/1", "contrast/5", "contrast/1"]
    assert tasks[0].classes == CLASSES == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    assert len(tasks[0].dataset) == 898
    image, label = tasks[0].dataset[897]
    assert image.shape == (3, 32, 32)
    assert image.dtype == torch.uint8
    assert label == 9
    assert isinstance(label, int)


@pytest.mark.parametrize("word", ["benchmark", "all"])
def test_both_words_mean_all_eight(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "CorruptedDigits", lambda corruption, severity: None)
    names = [task.name for task in Digits(corruptions=word, severities=(3,)).tasks()]
    assert names == [f"{corruption}/3" for corruption in CORRUPTIONS]
    assert len(names) == 8


def test_corrupted_images_are_fixed_and_pickle() -> None:
    first = CorruptedDigits("gaussian_noise", 2)
    torch.manual_seed(99)
    again = CorruptedDigits("gaussian_noise", 2)
    assert torch.equal(first.images, again.images)
    assert first.fingerprint() == again.fingerprint() == pickle.loads(pickle.dumps(first)).fingerprint()
    assert first.fingerprint() != CorruptedDigits("gaussian_noise", 3).fingerprint()
    white = task_half()[0][0] == 255
    noise = [first.images[k].int() - task_half()[0][k].int() for k in (0, 1)]
    assert not torch.equal(noise[0][white], noise[1][white])  # every image has a draw of its own


def test_wrong_names_and_severities() -> None:
    with pytest.raises(ValidationError, match=r"'snow' is no corruption, did you mean .*; allowed: .*, pixelate"):
        Digits(corruptions=("snow",))
    with pytest.raises(ValidationError, match=r"(?s)severities.*less than or equal to 5"):
        Digits(severities=(6,))


def test_the_clean_images_of_the_word_embedded() -> None:
    images = clean_images("embedded", key="method.fisher_root")
    assert len(images) == 899
    assert torch.equal(images[898][0], clean_half()[0][898])
    assert [images[0][1], images[898][1], type(images[0][1])] == [0, 9, int]


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    digits._all_digits.cache_clear()
    with pytest.raises(DataError, match=r"needs scikit-learn: pip install 'dusa_ignite\[demo\]'"):
        clean_half()


def test_shipped_classifier_knows_the_clean_digits_and_falls_with_severity() -> None:
    classifier = build_classifier("test_convnext", num_classes=10, checkpoint="embedded", image_size=32)
    _, labels = task_half()

    @torch.no_grad()
    def accuracy(images: torch.Tensor) -> float:
        return (classifier(images / 255).argmax(dim=1) == labels).float().mean().item()

    assert accuracy(task_half()[0]) >= 0.97
    noisy = [accuracy(CorruptedDigits("gaussian_noise", severity).images) for severity in (1, 3, 5)]
    assert noisy == sorted(noisy, reverse=True)
    assert noisy[0] > 0.9
    assert 0.3 < noisy[2] < 0.7


def test_shipped_transformer_prefers_the_right_class() -> None:
    transformer = load_transformer(
        "embedded",
        family="repa",
        num_classes=10,
        latent_size=8,
        in_channels=3,
        patch_size=2,
        hidden_size=96,
        depth=4,
        num_heads=4,
    )
    images, labels = (part[::4] for part in task_half())
    x0 = guide_view(images / 255, size=8)
    z = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    x_t, target, t = linear(x0, z, torch.full((len(x0),), 0.5))
    with torch.no_grad():
        losses = torch.stack(
            [
                (transformer(x_t, t, torch.full_like(labels, label)) - target).square().mean(dim=(1, 2, 3))
                for label in range(11)  # 10 is the unconditional row
            ],
            dim=1,
        )
    assert (losses[:, :10].argmin(dim=1) == labels).float().mean() >= 0.9
    own = losses.gather(1, labels[:, None]).mean()
    assert own < losses[:, 10].mean() < losses[:, :10].mean()  # knowing the class helps, a wrong one hurts


# SHA-256 over the fingerprints of severities 1 to 5, taken before the strengths of corruptions became tables
HASHES = {
    "gaussian_noise": "e90407d4bfec915759c6356f6bf64678a1289f360ee98a1f8af41a8f0daed409",
    "shot_noise": "1e63e44ad513890feaf6b29c88aae931bdcb4b1f47826b3d6bdac097ef0dd828",
    "impulse_noise": "9462517a3c6deff0f24d6a54aaf95d2348ddb0d281a130bd9f03e7c01a569c64",
    "fog": "e1ba052203eb531f40e3f60c92ce3cc3845fe52ecf3ef393fcb236127844d3e0",
    "contrast": "98e4d502c80b551b6b84b9271a6004365d9e7c71a13acb2d457da34be3dbce22",
    "pixelate": "a7fff01615b6471fbb895eb9c9d1427b2b099e427b150d6d396125f6c6de4861",
}
# A convolution is rounded otherwise by other processors: mean and standard deviation of all pixels at severities 1 to 5
BLURS = {
    "gaussian_blur": (
        (175.5154, 176.0268, 176.6675, 177.546, 178.7083),
        (70.5726, 60.7969, 54.2657, 48.3371, 42.8767),
    ),
    "motion_blur": (
        (175.3624, 175.6303, 176.26, 177.4462, 179.2781),
        (74.9796, 65.5493, 56.7265, 48.639, 41.3795),
    ),
}


@pytest.mark.parametrize("corruption", HASHES)
def test_corrupted_digits_are_fixed_data(corruption: str) -> None:
    prints = [CorruptedDigits(corruption, severity).fingerprint() for severity in (1, 2, 3, 4, 5)]
    assert hashlib.sha256("".join(prints).encode()).hexdigest() == HASHES[corruption]


@pytest.mark.parametrize("corruption", BLURS)
def test_blurred_digits_are_fixed_data(corruption: str) -> None:
    for severity, mean, std in zip((1, 2, 3, 4, 5), *BLURS[corruption], strict=True):
        pixels = CorruptedDigits(corruption, severity).images.double()
        assert pixels.mean().item() == pytest.approx(mean, abs=2e-4)
        assert pixels.std().item() == pytest.approx(std, abs=2e-4)
