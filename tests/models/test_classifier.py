"""Classifiers: their own view of the images, their norm layers, their weights and what may go wrong with them."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm import layers
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dusa_ignite.errors import CheckpointError, ConfigError
from dusa_ignite.models import Classifier, build_classifier
from dusa_ignite.models.norms import norm_parameters, set_trainable

SMALL: dict[str, Any] = {"num_classes": 5, "image_size": 32}
OPTIONS: dict[str, Any] = {"test_vit": {"img_size": 32}}


def small(name: str, **kwargs: Any) -> Classifier:
    torch.manual_seed(0)
    return build_classifier(name, options=OPTIONS.get(name), **SMALL, **kwargs)


def images(count: int = 4, side: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def on_meta(name: str) -> nn.Module:
    with torch.device("meta"):
        return timm.create_model(name)


# The view


def test_the_crop_is_the_view_before_its_normalisation() -> None:
    classifier = small("test_convnext")
    mixed = [images(1)[0], images(1)[0, :, :20], images(1, side=50)[0, :, :, 5:]]
    crop = classifier.crop(mixed)
    assert crop.shape == (3, 3, 32, 32)
    assert crop.min() >= 0
    assert crop.max() <= 1
    assert torch.equal((crop - classifier.mean) / classifier.std, classifier.view(mixed))
    assert torch.equal(classifier(crop), classifier(mixed))


@pytest.mark.parametrize("none", [torch.empty(0, 3, 1, 1), []])
def test_no_image_has_an_empty_crop(none: Any) -> None:
    classifier = small("test_resnet").double()
    assert classifier.crop(none).shape == (0, 3, 32, 32)
    logits = classifier(none)
    assert logits.shape == (0, 5)
    assert logits.dtype == torch.float64


@pytest.mark.parametrize(
    ("name", "mean", "std", "crop_pct", "interpolation"),
    [
        ("convnext_large.fb_in1k", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 0.875, "bicubic"),
        ("vit_base_patch16_224.augreg_in1k", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 0.9, "bicubic"),
        ("resnet50_gn.a1h_in1k", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 0.94, "bicubic"),
    ],
)
def test_published_classifiers_bring_their_own_preprocessing(
    name: str, mean: tuple[float, ...], std: tuple[float, ...], crop_pct: float, interpolation: str
) -> None:
    classifier = Classifier(on_meta(name))
    assert classifier.image_size == 224
    assert classifier.mean.flatten().tolist() == pytest.approx(mean, abs=1e-7)
    assert classifier.std.flatten().tolist() == pytest.approx(std, abs=1e-7)
    assert (classifier.crop_pct, classifier.interpolation) == (crop_pct, interpolation)
    torch.testing.assert_close(
        classifier.view(torch.ones(1, 3, 224, 224))[0, :, 0, 0],
        torch.tensor([(1 - m) / s for m, s in zip(mean, std, strict=True)]),
    )


def test_logits_are_the_backbones_of_the_normalised_view() -> None:
    classifier = small("test_vit")
    x = images()
    expected = classifier.backbone((x - 0.5) / 0.5)
    torch.testing.assert_close(classifier(x), expected, rtol=0, atol=1e-6)
    assert expected.shape == (4, 5)


def test_lists_of_mixed_sizes() -> None:
    classifier = small("test_convnext")
    mixed = [images(1)[0], images(1, side=20)[0], images(1, side=50)[0, :, :33]]
    logits = classifier(mixed)
    for i, image in enumerate(mixed):
        torch.testing.assert_close(logits[i : i + 1], classifier(image[None]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_resnet"])
def test_features_are_what_the_last_layer_sees(name: str) -> None:
    classifier = small(name, batch_norm="source")
    x = images()
    logits, features = classifier.forward_with_features(x)
    assert torch.equal(logits, classifier(x))
    assert features.ndim == 2
    torch.testing.assert_close(classifier.backbone.get_classifier()(features), logits, rtol=0, atol=1e-6)
    assert torch.equal(classifier.forward_features(x), classifier.backbone.forward_features(classifier.view(x)))


# BatchNorm


def batch_norm_state(classifier: Classifier) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in classifier.backbone.named_buffers()}


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])  # BatchNorm2d, timm's BatchNormAct2d
def test_batch_statistics_leave_the_source_statistics_untouched(name: str) -> None:
    classifier = small(name)
    with torch.no_grad():
        for key, value in classifier.backbone.named_buffers():
            value.copy_(torch.randint(1, 9, value.shape) if "num_batches" in key else torch.rand(value.shape) + 0.5)
    before = batch_norm_state(classifier)
    assert any("running_mean" in key for key in before)

    reference = copy.deepcopy(classifier.backbone)
    for module in reference.modules():
        if isinstance(module, _BatchNorm):
            module.training = module.track_running_stats = True  # plain torch: batch statistics, and updates
    x = images()
    first = classifier(x)
    torch.testing.assert_close(first, reference(classifier.view(x)), rtol=0, atol=1e-6)
    first.sum().backward()
    classifier.train()
    classifier(x)
    classifier.eval()
    nn.ModuleDict({"classifier": classifier}).train().eval()
    assert torch.equal(classifier(x), first)

    assert classifier.uses_batch_statistics
    assert not classifier.training
    assert all(torch.equal(value, before[key]) for key, value in classifier.backbone.named_buffers())
    assert before.keys() <= {key.removeprefix("backbone.") for key in classifier.state_dict()}


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_source_statistics_are_used_where_asked_for(name: str) -> None:
    classifier = small(name, batch_norm="source")
    with torch.no_grad():
        for key, value in classifier.backbone.named_buffers():
            if "running" in key:
                value.copy_(torch.rand(value.shape) + 0.5)
    before = batch_norm_state(classifier)
    x = images()
    logits = classifier(x)
    assert not classifier.uses_batch_statistics
    torch.testing.assert_close(logits, timm_eval(classifier, x), rtol=0, atol=1e-6)
    torch.testing.assert_close(classifier(x[:1]), logits[:1], rtol=0, atol=1e-5)  # each image for itself
    assert all(torch.equal(value, before[key]) for key, value in classifier.backbone.named_buffers())


def timm_eval(classifier: Classifier, x: torch.Tensor) -> torch.Tensor:
    return copy.deepcopy(classifier.backbone).eval()(classifier.view(x))


def test_only_batch_norm_mixes_images() -> None:
    assert not small("test_vit").uses_batch_statistics
    assert not small("test_convnext").uses_batch_statistics
    assert small("test_resnet").uses_batch_statistics


# Norm layers


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("convnext_large.fb_in1k", 60_288),
        ("vit_base_patch16_224.augreg_in1k", 38_400),
        ("resnet50_gn.a1h_in1k", 53_120),
    ],
)
def test_number_of_norm_parameters(name: str, count: int) -> None:
    assert sum(parameter.numel() for parameter in norm_parameters(on_meta(name)).values()) == count


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm1d(4),
        nn.BatchNorm2d(4),
        nn.SyncBatchNorm(4),
        nn.LayerNorm(4),
        nn.GroupNorm(2, 4),
        nn.InstanceNorm2d(4, affine=True),
        nn.RMSNorm(4),
        layers.BatchNormAct2d(4),
        layers.LayerNorm2d(4),
        layers.GroupNorm1(4),
        layers.RmsNorm(4),
        layers.RmsNorm2d(4),
        layers.SimpleNorm(4),
    ],
    ids=lambda norm: type(norm).__name__,
)
def test_norm_layers_are_found_by_their_class(norm: nn.Module) -> None:
    model = nn.ModuleDict({"mixer": norm, "norm": nn.Linear(4, 4), "norm2": layers.LayerScale(4)})
    expected = {f"mixer.{name}" for name, _ in norm.named_parameters()}
    assert set(norm_parameters(model)) == expected
    assert "mixer.weight" in expected
    assert set(norm_parameters(norm)) == {name for name, _ in norm.named_parameters()}


def test_norms_without_affine_weights_have_nothing_to_train() -> None:
    model = nn.Sequential(
        nn.LayerNorm(4, elementwise_affine=False), nn.InstanceNorm2d(4), nn.BatchNorm2d(4, affine=False)
    )
    assert norm_parameters(model) == {}


def trainable(classifier: nn.Module) -> set[str]:
    return {name for name, parameter in classifier.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_resnet"])
def test_trainable(name: str) -> None:
    every = {key for key, _ in small(name).named_parameters()}
    assert trainable(small(name)) == every
    norms = trainable(small(name, trainable="norm"))
    assert norms == set(norm_parameters(small(name)))
    assert set() < norms < every
    assert not any("head.fc" in key or "conv1.weight" in key or "attn" in key for key in norms)
    assert trainable(small(name, trainable="none")) == set()


def test_trainable_can_be_switched() -> None:
    classifier = small("test_vit", trainable="none")
    set_trainable(classifier, "norm")
    assert trainable(classifier) == set(norm_parameters(classifier))
    with pytest.raises(ValueError, match="trainable must be all, norm or none, not 'some'"):
        set_trainable(classifier, "some")


# Weights


def test_built_in_eval_mode_and_float32() -> None:
    classifier = small("test_convnext")
    assert not any(module.training for module in classifier.modules())
    assert {parameter.dtype for parameter in classifier.parameters()} == {torch.float32}
    assert classifier.num_classes == 5


@pytest.mark.parametrize("kind", ["safetensors", "nested"])
def test_checkpoints(kind: str, tmp_path: Path) -> None:
    source = small("test_resnet", batch_norm="source")
    weights = {key: torch.rand(value.shape).to(value) for key, value in source.backbone.state_dict().items()}
    path = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pth")
    if kind == "safetensors":
        save_file(weights, path)
    else:
        torch.save({"state_dict": {f"module.{key}": value for key, value in weights.items()}, "epoch": 3}, path)
    loaded = small("test_resnet", checkpoint=str(path)).backbone.state_dict()
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[key], weights[key]) for key in weights)


def fails(message: str, name: str = "test_vit", **kwargs: Any) -> None:
    with pytest.raises(CheckpointError, match=f"^{re.escape(message)}") as caught:
        build_classifier(name, **kwargs)
    assert "\n" not in str(caught.value)


def test_missing_checkpoint(tmp_path: Path) -> None:
    fails(f"classifier.checkpoint: {tmp_path}/none.pth: no such file", checkpoint=f"{tmp_path}/none.pth")


def test_truncated_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"weight": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:500])
    fails(f"classifier.checkpoint: {path}: damaged, or not a checkpoint", checkpoint=str(path))


def test_garbage_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"hello world")
    fails(f"classifier.checkpoint: {path}: damaged, or not a checkpoint", checkpoint=str(path))


def test_checkpoint_of_another_number_of_classes(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(small("test_vit").backbone.state_dict(), path)
    fails(
        f"classifier.checkpoint: {path}: does not fit the model: 2 of another shape: head.weight (5, 64) for (7, 64), "
        f"head.bias (5,) for (7,)",
        num_classes=7,
        options={"img_size": 32},
        checkpoint=str(path),
    )


def test_checkpoint_of_another_model(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"extra": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match=r"missing: cls_token, pos_embed, .*, \.\.\.; 1 unexpected: extra$"):
        small("test_vit", checkpoint=str(path))


def test_unknown_names_list_near_ones() -> None:
    fails("classifier.name: timm has no model 'test_vitt'; near: test_", name="test_vitt")
    fails("classifier.name: timm cannot build test_vit.typo (Invalid pretrained tag (typo)", name="test_vit.typo")


def test_wrong_options_are_named() -> None:
    with pytest.raises(CheckpointError, match=r"timm cannot build test_vit \(.*'colour'.*classifier.options"):
        build_classifier("test_vit", options={"colour": 1})


def test_pretrained_weights_that_timm_does_not_have() -> None:
    fails("classifier.pretrained: no weights for botnet50ts_256 (", name="botnet50ts_256", pretrained=True)


def test_pretrained_weights_of_another_number_of_classes_are_refused() -> None:
    fails(
        "classifier.pretrained: timm's weights for test_vit.r160_in1k have 1000 classes, classifier.num_classes is 5",
        name="test_vit.r160_in1k",
        pretrained=True,
        num_classes=5,
    )


def test_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def create(name: str, **kwargs: Any) -> nn.Module:
        raise ConnectionError("no route\nto the hub")

    monkeypatch.setattr(timm, "create_model", create)
    fails(
        "classifier.pretrained: no weights for test_vit (no route); offline, fetch them elsewhere and give the file as "
        "classifier.checkpoint",
        pretrained=True,
    )


def test_a_checkpoint_replaces_pretrained_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def create(name: str, *, pretrained: bool, **kwargs: Any) -> nn.Module:
        asked.append(pretrained)
        return original(name, pretrained=False, **kwargs)

    path = tmp_path / "weights.safetensors"
    save_file(small("test_vit").backbone.state_dict(), path)
    original = timm.create_model
    monkeypatch.setattr(timm, "create_model", create)
    small("test_vit", pretrained=True, checkpoint=str(path))
    assert asked == [False]


def test_image_size_of_a_vision_transformer_with_a_fixed_size() -> None:
    classifier = build_classifier("vit_tiny_patch16_224", num_classes=3, image_size=32)
    assert classifier.backbone.pos_embed.shape == (1, 5, 192)  # class token and 2 x 2 patches
    assert classifier(torch.rand(2, 3, 32, 32)).shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("test_vit", {"image_size": 33}),  # no multiple of the patch
        ("test_convnext", {"image_size": 1}),  # smaller than the stem
        ("test_convnext", {"options": {"in_chans": 1}}),
    ],
)
def test_sizes_that_do_not_work_are_refused_at_once(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"classifier\.image_size: {name} cannot take RGB images of"):
        build_classifier(name, num_classes=10, **options)


def test_norm_only_needs_norm_layers() -> None:
    with pytest.raises(ConfigError, match="has no norm layer"):
        set_trainable(nn.Linear(2, 2), "norm")
