"""Methods made for images, on pixels: against plain torch, and against what one image's pixels are as images."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dusa_ignite.errors import DataError
from dusa_ignite.methods.base import Method, Step
from dusa_ignite.methods.bn import Bn
from dusa_ignite.methods.eata import Eata
from dusa_ignite.methods.pixel_cotta import PixelCotta
from dusa_ignite.methods.sar import Sar
from dusa_ignite.methods.source import Source
from dusa_ignite.methods.tent import Tent
from dusa_ignite.models.forward import rows_of
from dusa_ignite.segmentation.segmenter import Segmenter

CLASSES, SIDE = 4, 12


class Tiny(nn.Module):
    """Logits at half of the resolution; a BatchNorm and a 1 x 1 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Conv2d(6, CLASSES, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.stem(images)).relu())


def segmenter(batch_norm: str = "batch") -> Segmenter:
    torch.manual_seed(0)
    made = Segmenter(
        Tiny(), num_classes=CLASSES, short_side=SIDE, mean=(0.5,) * 3, std=(0.25,) * 3, batch_norm=batch_norm
    ).double()
    with torch.no_grad():
        made.backbone.head.weight *= 8  # some pixels are sure
    return made


def norms_learn(model: Segmenter) -> Segmenter:
    model.requires_grad_(False)
    model.backbone.norm.requires_grad_(True)
    return model


def images(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, SIDE, SIDE + 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def update(kind: type[Method], model: Segmenter, *, lr: float = 0.1, batch: Any = None, **options: Any) -> Step:
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learnt, lr=lr) if learnt else None
    shown = images() if batch is None else batch
    method = kind(kind.Options(**options), classifier=model, optimizer=optimizer, micro_batch_size=1, seed=3)
    return method.adapt(shown, {"index": torch.arange(len(shown)), "task": "fog"})  # type: ignore[typeddict-item]


def plain_logits(model: Segmenter, image: torch.Tensor) -> torch.Tensor:
    """(1, C, h, w) with the image's own statistics."""
    x = model.backbone.stem((image[None] - 0.5) / 0.25)
    norm = model.backbone.norm
    mean, variance = x.mean(dim=(0, 2, 3), keepdim=True), x.var(dim=(0, 2, 3), keepdim=True, unbiased=False)
    x = (x - mean) / (variance + norm.eps).sqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]
    return model.backbone.head(x.relu())


def entropies(logits: torch.Tensor) -> torch.Tensor:
    """(N,) of every place."""
    p = logits.softmax(dim=1)
    return -(p * p.log()).sum(dim=1).flatten()


def test_rows_are_places() -> None:
    logits = torch.arange(2 * CLASSES * 3 * 5.0).view(2, CLASSES, 3, 5)
    rows = rows_of(logits)
    assert rows.shape == (30, CLASSES)
    assert torch.equal(rows[15 + 1 * 5 + 2], logits[1, :, 1, 2])
    assert rows_of(rows) is rows


def test_tent_minimises_the_mean_entropy_of_all_places() -> None:
    model, twin = norms_learn(segmenter()), norms_learn(segmenter())
    step = update(Tent, model)
    loss = torch.cat([entropies(plain_logits(twin, image)) for image in images()]).mean()
    weight, bias = torch.autograd.grad(loss, [twin.backbone.norm.weight, twin.backbone.norm.bias])
    assert step.logits.shape == (2, CLASSES, SIDE // 2, SIDE // 2 + 2)
    assert step.loss == pytest.approx(loss.item(), abs=1e-12)
    torch.testing.assert_close(model.backbone.norm.weight, twin.backbone.norm.weight - 0.1 * weight, rtol=0, atol=1e-12)
    torch.testing.assert_close(model.backbone.norm.bias, twin.backbone.norm.bias - 0.1 * bias, rtol=0, atol=1e-12)


def test_eata_leaves_places_out() -> None:
    model, twin = norms_learn(segmenter()), norms_learn(segmenter())
    step = update(Eata, model, beta=0.0, entropy_margin=0.5, redundancy_margin=0.0)
    margin = 0.5 * math.log(CLASSES)
    values = torch.cat([entropies(plain_logits(twin, image)) for image in images()])
    chosen = values < margin
    assert 0 < chosen.sum() < len(values)  # the first update knows no mean prediction, so nothing is redundant
    loss = ((margin - values[chosen]).exp().detach() * values[chosen]).mean()
    assert step.loss == pytest.approx(loss.item(), abs=1e-12)
    assert step.diagnostics["reliable"] == pytest.approx(chosen.double().mean().item())
    gradient = torch.autograd.grad(loss, twin.backbone.norm.bias)[0]
    torch.testing.assert_close(model.backbone.norm.bias, twin.backbone.norm.bias - 0.1 * gradient, rtol=0, atol=1e-12)


def test_sar_follows_the_gradient_at_the_perturbed_weights() -> None:
    model, twin = norms_learn(segmenter()), norms_learn(segmenter())
    step = update(Sar, model, entropy_margin=0.5, rho=0.1, recovery_threshold=0.0)
    margin = 0.5 * math.log(CLASSES)
    learnt = [twin.backbone.norm.weight, twin.backbone.norm.bias]
    first = torch.cat([entropies(plain_logits(twin, image)) for image in images()])
    reliable = (first < margin).detach()
    gradients = torch.autograd.grad(first[reliable].mean(), learnt)
    norm = torch.cat(gradients).norm()
    before = [parameter.detach().clone() for parameter in learnt]
    with torch.no_grad():
        for parameter, gradient in zip(learnt, gradients, strict=True):
            parameter += 0.1 * gradient / norm
    second = torch.cat([entropies(plain_logits(twin, image)) for image in images()])
    loss = second[reliable & (second < margin).detach()].mean()
    assert step.loss == pytest.approx(loss.item(), abs=1e-9)
    weight, _ = torch.autograd.grad(loss, learnt)
    torch.testing.assert_close(model.backbone.norm.weight, before[0] - 0.1 * weight, rtol=0, atol=1e-9)
    assert step.diagnostics["reliable"] == pytest.approx((reliable & (second < margin)).double().mean().item())


def test_bn_takes_each_images_own_statistics() -> None:
    model = segmenter("source")
    step = update(Bn, model.requires_grad_(False))
    expected = torch.cat([plain_logits(model, image) for image in images()])
    torch.testing.assert_close(step.logits, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(segmenter()(images()), expected.detach(), rtol=0, atol=1e-12)
    source = update(Source, segmenter("source").requires_grad_(False)).logits
    assert not torch.allclose(source, expected)


def test_cottas_teacher_is_averaged_over_scales_and_mirrored_images() -> None:
    model = segmenter()
    step = update(PixelCotta, model, scales=[1.0, 1.5], confidence_threshold=1.0, restore_probability=0.0)
    source, expected = segmenter(), []
    for image in images():
        logits = []
        for scale in (1.0, 1.5):
            size = [round(scale * side) for side in image.shape[-2:]]
            scaled = F.interpolate(image[None], size=size, mode="bilinear", align_corners=False)
            for mirrored in (False, True):
                own = plain_logits(source, (scaled.flip(-1) if mirrored else scaled)[0])
                own = own.flip(-1) if mirrored else own
                size_back = (SIDE // 2, SIDE // 2 + 2)
                logits.append(F.interpolate(own, size=size_back, mode="bilinear", align_corners=False))
        expected.append(torch.cat(logits).mean(dim=0, keepdim=True))
    torch.testing.assert_close(step.logits, torch.cat(expected).detach(), rtol=0, atol=1e-12)
    assert step.diagnostics["augmented"] == 1
    student = torch.cat([plain_logits(segmenter(), image) for image in images()]).log_softmax(dim=1)
    teacher = torch.cat(expected).log_softmax(dim=1)
    loss = -(teacher.exp() * student + student.exp() * teacher).sum(dim=1).mean() / 2
    assert step.loss == pytest.approx(loss.item(), abs=1e-12)
    confidence = torch.cat([plain_logits(segmenter(), image) for image in images()]).softmax(dim=1).amax(dim=1).mean()
    assert step.diagnostics["confidence"] == pytest.approx(confidence.item(), abs=1e-12)


def test_a_sure_source_needs_no_average() -> None:
    step = update(PixelCotta, segmenter(), confidence_threshold=0.0)
    assert step.diagnostics["augmented"] == 0
    torch.testing.assert_close(step.logits, segmenter()(images()).detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("scales", [[], [0.05], [1.0, 1.0], [5.0]])
def test_wrong_scales_are_refused(scales: list[float]) -> None:
    with pytest.raises(ValueError, match="scales"):
        PixelCotta.Options(scales=scales)


@pytest.mark.parametrize("kind", [Tent, Eata, Sar, PixelCotta, Bn, Source])
def test_a_share_without_images(kind: type[Method]) -> None:
    model = segmenter("source" if kind in (Bn, Source) else "batch")
    model = model.requires_grad_(False) if kind in (Bn, Source) else norms_learn(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    options = {"beta": 0.0} if kind is Eata else {}
    step = update(kind, model, batch=images()[:0], **options)
    assert step.logits.shape[:2] == (0, CLASSES)
    assert step.stepped is None
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_images_of_different_sizes_are_refused() -> None:
    with pytest.raises(DataError, match=r"set data\.batch_size=1"):
        segmenter()([images()[0], images()[1][:, :, :-4]])
