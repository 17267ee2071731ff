"""Images, their order, augmentations, schedules: small things with values worked out by hand."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from support.own_training import own_config, own_images
from torch import nn

from dusa_ignite.errors import CheckpointError, ConfigError, DataError
from dusa_ignite.models import build_classifier
from dusa_ignite.pretraining.own.augment import augmented, is_on
from dusa_ignite.pretraining.own.config import OwnAugment, OwnData
from dusa_ignite.pretraining.own.images import ViewedImages, evenly, held_out, load_split
from dusa_ignite.pretraining.own.make import make_subject
from dusa_ignite.pretraining.own.schedule import average_decay, average_into, learning_rate
from dusa_ignite.pretraining.own.stream import TrainingStream

OFF = {"crop": 0.0, "brightness": 0.0, "contrast": 0.0}


def draws(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(k) for k in range(count)]


def stream(**changes: int) -> TrainingStream:
    options = {"images": 5, "batch_size": 3, "iterations": 4, "seed": 0, **changes}
    return TrainingStream(
        lambda indices, generators: {
            "indices": indices,
            "draws": [torch.rand(1, generator=g).item() for g in generators],
        },
        **options,
    )


def test_a_share_of_every_class_is_held_out() -> None:
    labels = [0] * 10 + [1] * 2 + [2]
    chosen = held_out(labels, share=0.3, seed=0)
    assert Counter(labels[index] for index in chosen) == {0: 3, 1: 1}  # a single image is learnt from
    assert held_out(labels, share=0.3, seed=0) == chosen != held_out(labels, share=0.3, seed=1)


def test_evenly_takes_turns() -> None:
    labels = [0, 0, 0, 1, 1, 2]
    assert evenly(labels, 3) == [0, 3, 5]
    assert evenly(labels, 5) == [0, 1, 3, 4, 5]
    assert evenly(labels, 9) == list(range(6))


def test_a_folder_of_held_out_images(tmp_path: Path) -> None:
    root, other = own_images(tmp_path / "a"), own_images(tmp_path / "b", classes=("red", "green"), count=2)
    split = load_split(OwnData(root=str(root), validation_root=str(other)), seed=0)
    assert (len(split.training), len(split.held_out), split.classes) == (18, 4, ("blue", "green", "red"))
    assert sorted(set(split.held_out.labels.tolist())) == [1, 2]


def test_what_cannot_be_learnt_from(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.root must hold a folder for each of two or more"):
        load_split(OwnData(root=str(own_images(tmp_path / "one", classes=("a",)))), seed=0)
    root = own_images(tmp_path / "two", classes=("a", "b"), count=1)
    with pytest.raises(DataError, match="no class has a second image, to be held out"):
        load_split(OwnData(root=str(root)), seed=0)
    with pytest.raises(DataError, match="class 'c' has no image to learn from"):
        load_split(OwnData(root=str(root), classes=("a", "b", "c")), seed=0)
    with pytest.raises(DataError, match=r"<class>/<image>; here are a, b, and none of the classes c, d, e, \.\.\.$"):
        load_split(OwnData(root=str(root), classes=tuple("cdef")), seed=0)
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "flat" / "a.png")
    for classes in (None, ("a", "b")):
        with pytest.raises(DataError, match=r"data\.root must hold a folder per class, with its images: .*<image>$"):
            load_split(OwnData(root=str(tmp_path / "flat"), classes=classes), seed=0)


def test_images_are_the_same_whether_or_not_they_are_kept(tmp_path: Path) -> None:
    split = load_split(OwnData(root=str(own_images(tmp_path / "a"))), seed=0)
    calls: list[int] = []

    def view(image: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return image[0, :, :4, :4]

    kept = ViewedImages(split.training, view=view, size=4, kept_bytes=1e6)
    read = ViewedImages(split.training, view=view, size=4, kept_bytes=0)
    assert torch.equal(kept.read([2, 0]), read.read([2, 0]))
    assert torch.equal(kept.read([0]), read.read([0]))
    assert len(calls) == 2 + 3
    assert read.read([]).shape == (0, 3, 4, 4)


def test_an_epoch_shows_every_image_once_and_batches_run_over_its_end() -> None:
    batches = list(stream())
    shown = [index for batch in batches for index in batch["indices"]]
    assert len(shown) == 12
    assert sorted(shown[:5]) == sorted(shown[5:10]) == list(range(5))
    assert len({draw for batch in batches for draw in batch["draws"]}) == 12  # also where an image comes again
    assert [batch["first"] for batch in batches] == [True, False, False, False]
    assert [batch["last"] for batch in batches] == [False, False, False, True]


def test_a_stream_goes_on_anywhere_and_shares_join() -> None:
    whole, later = list(stream()), stream()
    later.seek(2)
    assert list(later) == whole[2:]
    shares = [list(stream(rank=rank, world_size=4)) for rank in range(4)]  # one of them has nothing in every batch
    for number, batch in enumerate(whole):
        for key in ("indices", "draws"):
            assert [value for share in shares for value in share[number][key]] == batch[key]
    assert {len(share[0]["indices"]) for share in shares} == {0, 1}


def test_nothing_on_changes_nothing() -> None:
    image = torch.rand(3, 5, 5)
    options = OwnAugment(**OFF)
    assert not is_on(options)
    assert torch.equal(augmented(image, options, draws(1)[0]), image)
    assert all(is_on(options.model_copy(update={key: 1})) for key in ("flip", "crop", "brightness", "contrast"))


def test_flip_contrast_and_brightness() -> None:
    ramp = torch.linspace(0.4, 0.6, 5).expand(3, 5, 5)  # mean 0.5, grows to the right
    flipped = [augmented(ramp, OwnAugment(**OFF, flip=True), g) for g in draws(40)]
    mirrored = [torch.equal(image, ramp.flip(-1)) for image in flipped]
    assert 10 < sum(mirrored) < 30
    assert all(torch.equal(image, ramp) for image, turned in zip(flipped, mirrored, strict=True) if not turned)
    faded = [augmented(ramp, OwnAugment(**{**OFF, "contrast": 0.5}), g) for g in draws(200)]
    spans = torch.stack([(image.max() - image.min()) / 0.2 for image in faded])
    assert 0.5 <= spans.min() < 0.52
    assert 0.98 < spans.max() <= 1 + 1e-5
    assert all(image.mean().item() == pytest.approx(0.5, abs=1e-6) for image in faded)
    shifts = torch.stack(
        [(augmented(ramp, OwnAugment(**{**OFF, "brightness": 0.3}), g) - ramp)[0, 0, 0] for g in draws(200)]
    )
    assert -0.3 <= shifts.min() < -0.27
    assert 0.27 < shifts.max() <= 0.3
    light = augmented(torch.ones(3, 2, 2), OwnAugment(brightness=1.0), draws(1)[0])
    assert 0 <= light.min() <= light.max() <= 1


def test_crop_keeps_size_and_what_it_keeps() -> None:
    ramp = torch.arange(10.0).expand(3, 10, 10) / 10
    seen = [augmented(ramp, OwnAugment(**{**OFF, "crop": 0.5}), g) for g in draws(50)]
    assert {tuple(image.shape) for image in seen} == {(3, 10, 10)}
    spans = [round(10 * (image.max() - image.min()).item()) for image in seen]
    assert min(spans) in (4, 5)  # of 5 columns kept the values span 4
    assert max(spans) in (8, 9)


def test_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(update, highest=1.0, warmup=2, iterations=5) for update in range(1, 6)]
    assert rates == pytest.approx([0.5, 1.0, *((1 + math.cos(math.pi * k / 4)) / 2 for k in (1, 2, 3))])
    assert learning_rate(1, highest=1.0, warmup=0, iterations=3) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)


def test_averages_forget_the_start_and_copy_counts() -> None:
    assert [average_decay(update, highest=0.5) for update in (1, 9, 100)] == [0.1, 0.5, 0.5]
    model, average = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    with torch.no_grad():
        model.weight.fill_(3.0)  # of 1
        model.running_mean.fill_(7.0)
        model.num_batches_tracked.fill_(5)
    average_into(average, model, decay=0.75)
    assert average.weight.item() == 1.5
    assert (average.running_mean.item(), average.num_batches_tracked.item()) == (7.0, 5)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.warmup=12", "training.warmup: 12 is not allowed; allowed: an integer below iterations"),
        ("transformer.num_heads=3", "transformer.num_heads: 3 is not allowed; allowed: a divisor of hidden_size"),
        ("transformer.path=ddpm", "transformer.path: 'ddpm' is not allowed; allowed for repa: linear | cosine"),
        ("transformer.family=dit", "transformer: family dit needs init.checkpoint"),
        ("transformer.patch_size=3", "transformer: patches of 3 pixels do not divide image_size 8"),
        ("vae.pretrained=some/vae", "transformer: patches of 16 pixels do not divide image_size 8"),
        ("data.classes=[1, 2]", "data.classes: 1 is not text"),
    ],
)
def test_what_does_not_fit(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        own_config(tmp_path, tmp_path, override)
    assert message in str(caught.value)


def test_timms_weights_with_a_new_last_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def create(name: str, *, pretrained: bool, **options: object) -> nn.Module:
        asked.append(pretrained)
        return whole(name, **options)

    whole = timm.create_model
    monkeypatch.setattr(timm, "create_model", create)
    name = "test_convnext.r160_in1k"
    with pytest.raises(CheckpointError, match=r"weights for test_convnext.r160_in1k have 1000 classes"):
        build_classifier(name, num_classes=3, pretrained=True)
    assert build_classifier(name, num_classes=3, pretrained=True, new_head=True).num_classes == 3
    assert asked == [True]


def test_batch_norm_needs_two_images(tmp_path: Path) -> None:
    root = own_images(tmp_path / "images", classes=("a", "b"), count=2)
    config = own_config(
        tmp_path / "out", root, "what=classifier", "classifier.name=test_resnet", "training.batch_size=1"
    )
    with pytest.raises(ConfigError, match=r"^training.batch_size: test_resnet has BatchNorm, which needs two or more"):
        make_subject(config, tmp_path / "out")
