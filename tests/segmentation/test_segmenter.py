"""Segmenters: transformers' folders and own modules, what they are shown, and what is written."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny_diffusion import CLASSES, write_segformer
from torch import nn
from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

from dusa_ignite.errors import CheckpointError, ConfigError, DataError, UserError
from dusa_ignite.segmentation.load_segmenter import load_segmenter, save_segmenter
from dusa_ignite.segmentation.resize import predicted_labels, resize_short_side, resized_size
from dusa_ignite.segmentation.segmenter import Segmenter


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_segformer(tmp_path / "segformer")


def test_logits_are_those_of_transformers(folder: Path) -> None:
    segmenter = load_segmenter(str(folder), short_side=32, batch_norm="source")
    assert (segmenter.num_classes, segmenter.class_names) == (6, CLASSES)
    image = torch.rand(1, 3, 32, 44)
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.25, 0.3])
    reference = AutoModelForSemanticSegmentation.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = segmenter(image)
        expected = reference(((image[0] - mean[:, None, None]) / std[:, None, None])[None]).logits
    assert logits.shape == (1, 6, 8, 11)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-6)


def test_batch_norm_takes_the_images_own_statistics(folder: Path) -> None:
    image = torch.rand(1, 3, 32, 32)
    own, source = (load_segmenter(str(folder), short_side=32, batch_norm=kind) for kind in ("batch", "source"))
    stored = {name: value.clone() for name, value in own.state_dict().items()}
    assert not own.uses_batch_statistics  # of other images
    assert not source.uses_batch_statistics
    assert not torch.allclose(own(image), source(image))
    assert all(torch.equal(value, stored[name]) for name, value in own.state_dict().items())


def test_an_export_has_equal_logits(folder: Path, tmp_path: Path) -> None:
    segmenter = load_segmenter(str(folder), short_side=32, batch_norm="source")
    with torch.no_grad():
        for parameter in segmenter.parameters():
            parameter.add_(0.01)
    save_segmenter(segmenter, tmp_path / "adapted")
    image = torch.rand(1, 3, 32, 32)
    exported = AutoModelForSemanticSegmentation.from_pretrained(tmp_path / "adapted").eval()
    processor = AutoImageProcessor.from_pretrained(tmp_path / "adapted")
    shown = processor(images=(image[0] * 255).byte(), do_resize=False, return_tensors="pt")["pixel_values"]
    eight_bit = (image * 255).byte() / 255
    with torch.no_grad():
        assert torch.equal(exported(segmenter.view(image)).logits, segmenter(image))
        torch.testing.assert_close(exported(shown).logits, segmenter(eight_bit), rtol=0, atol=1e-5)
        again = load_segmenter(str(tmp_path / "adapted"), short_side=32, batch_norm="source")
        assert torch.equal(again(image), segmenter(image))
    assert again.class_names == CLASSES


def own_module() -> Segmenter:
    return Segmenter(
        nn.Conv2d(3, 4, 3, stride=4, padding=1),
        num_classes=4,
        short_side=16,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        class_names=("a", "b", "c", "d"),
    )


def test_an_own_module(tmp_path: Path) -> None:
    segmenter = own_module()
    image = torch.rand(3, 16, 24)
    logits = segmenter([image])
    assert logits.shape == (1, 4, 4, 6)
    assert torch.equal(logits, segmenter.backbone((image[None] - 0.5) / 0.25))
    save_segmenter(segmenter, tmp_path / "own")
    written = load_file(tmp_path / "own" / "model.safetensors")
    assert torch.equal(written["weight"], segmenter.backbone.weight)
    description = json.loads((tmp_path / "own" / "segmenter.json").read_text())
    assert description["class_names"] == ["a", "b", "c", "d"]
    assert description["view"]["mean"] == [0.5, 0.5, 0.5]
    with pytest.raises(ConfigError, match="segmenter: 2 class names for 4 classes"):
        Segmenter(nn.Identity(), num_classes=4, short_side=8, mean=(0,) * 3, std=(1,) * 3, class_names=("a", "b"))


def test_images_keep_their_ratio() -> None:
    assert resized_size(600, 800, short_side=512) == (512, 683)
    assert resized_size(800, 600, short_side=512) == (683, 512)
    assert resized_size(100, 100, short_side=512) == (512, 512)
    image = torch.rand(3, 16, 24)
    assert resize_short_side(image, short_side=16) is image
    assert resize_short_side(image, short_side=8).shape == (3, 8, 12)
    assert torch.equal(resize_short_side(torch.full((3, 10, 8), 0.25), short_side=4), torch.full((3, 5, 4), 0.25))


def test_a_batch_has_one_size() -> None:
    segmenter = own_module()
    assert segmenter.crop([torch.rand(3, 32, 48), torch.rand(3, 16, 24)]).shape == (2, 3, 16, 24)
    assert segmenter.crop(torch.rand(2, 3, 48, 32)).shape == (2, 3, 24, 16)
    assert segmenter(torch.rand(0, 3, 1, 1)).shape[:2] == (0, 4)
    with pytest.raises(DataError, match=r"16 x 24 and 16 x 32 pixels after resizing; .* set data.batch_size=1"):
        segmenter.crop([torch.rand(3, 16, 24), torch.rand(3, 16, 32)])


def test_labels_are_predicted_at_their_own_size() -> None:
    logits = torch.zeros(2, 1, 2)
    logits[1, 0] = torch.tensor([-1.0, 3.0])  # at the places 0.25 and 0.75 of the width; linear between, 0 at 0.375
    centres = (torch.arange(16) + 0.5) / 16
    expected = (centres > 0.375).long()
    assert predicted_labels(logits, size=(3, 16)).tolist() == [expected.tolist()] * 3


def fails(pretrained: Path | str) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_segmenter(str(pretrained))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"classifier.name: transformers:{pretrained}: ")
    return str(caught.value)


def test_what_is_wrong_with_a_folder(folder: Path, tmp_path: Path) -> None:
    assert "neither a segmenter's folder nor a repository" in fails(tmp_path / "missing")
    assert "a file; give its folder" in fails(folder / "config.json")
    assert "preprocessor_config.json" in fails(write_segformer(tmp_path / "bare", processor=False))
    weights = load_file(folder / "model.safetensors")
    del weights["decode_head.classifier.bias"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert "1 parameters are not in the weights: decode_head.classifier.bias" in fails(folder)


def test_transformers_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> Any:
        return None if name == "transformers" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(UserError, match=r"needs transformers, .*pip install 'dusa_ignite\[segmentation\]'"):
        load_segmenter("nvidia/segformer-b5-finetuned-ade-640-640")


def test_unnamed_classes_have_no_names(tmp_path: Path) -> None:
    folder = write_segformer(tmp_path / "s", class_names=("LABEL_0", "LABEL_1", "LABEL_2"))
    assert load_segmenter(str(folder)).class_names == ()
