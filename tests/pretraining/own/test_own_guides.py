"""What tells whether a guide is any good, its first weights, its latents, and several processes."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image
from support.own_training import own_config, own_images
from support.processes import in_processes
from torch import nn

from dusa_ignite.errors import CheckpointError, ConfigError
from dusa_ignite.models.guides import Guide, load_transformer
from dusa_ignite.models.guides.paths import cosine, ddpm, linear, reverse_linear
from dusa_ignite.models.metadata import save_described
from dusa_ignite.models.weights import save_weights
from dusa_ignite.pretraining.own import latents
from dusa_ignite.pretraining.own.curve import TIMES, Curve, candidates_of, measure_curve
from dusa_ignite.pretraining.own.initial import TABLE, initial_transformer, new_classes
from dusa_ignite.pretraining.own.samples import draw_samples, write_grid
from dusa_ignite.runs.pretrain import pretrain

SIZES: dict[str, Any] = {"patch_size": 2, "hidden_size": 32, "depth": 1, "num_heads": 2}


class Oracle(nn.Module):
    """Knows that class k's images are all ``(k - 1) / 2``; below t = 0.35 it takes every class for class 0."""

    num_classes = 3

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        t = t[:, None, None, None]
        known = torch.where(t > 0.35, ((y - 1) / 2)[:, None, None, None], -0.5 * torch.ones_like(t))
        return (x - known) / t.clamp(min=1e-3)  # z - x0, where x = (1 - t) x0 + t z


def oracle() -> Guide:
    return Guide(Oracle(), path=linear, image_size=4)


def test_the_curve_of_a_guide_that_sees_at_some_times_only() -> None:
    labels = torch.tensor([0, 1, 2, 2])
    x0 = ((labels - 1) / 2)[:, None, None, None].expand(4, 3, 4, 4)
    curve = measure_curve(oracle(), x0, labels, classes=3, candidates=10, seed=0)
    assert curve.t == TIMES
    assert curve.accuracy == (0.25, 0.25, 0.25, *[1.0] * 6)  # all errors equal: class 0 is taken
    assert curve.loss[3:] == pytest.approx([0.0] * 6, abs=1e-10)
    assert curve.loss[1] == pytest.approx((0 + 0.25 + 1 + 1) / 4 / 0.2**2)  # (x0 + 0.5)^2 / t^2
    assert (curve.chance, curve.images, curve.candidates) == (pytest.approx(1 / 3), 4, 3)
    assert curve.best_t == 0.6  # in the middle of 0.4 .. 0.9
    said = curve.as_dict()
    assert json.loads(json.dumps(said)) == said
    assert said["best_accuracy"] == 1.0
    assert said["margin"] == pytest.approx(2 * (0.75 * 0.25 / 8) ** 0.5)  # (4 + 2) / (4 + 4)
    assert "accuracy   25.0   25.0   25.0  100.0" in curve.lines()


def test_whether_it_tells_classes_apart() -> None:
    def curve(accuracy: float, images: int) -> Curve:
        return Curve(t=(0.5,), accuracy=(accuracy,), loss=(1.0,), chance=0.5, images=images, candidates=2)

    assert curve(0.75, 100).tells_classes_apart
    assert not curve(0.75, 4).tells_classes_apart
    assert not curve(0.5, 10000).tells_classes_apart


def test_candidates() -> None:
    labels = torch.tensor([0, 7, 19])
    assert torch.equal(candidates_of(labels, classes=3, count=10, seed=0), torch.arange(3).expand(3, 3))
    drawn = candidates_of(labels, classes=20, count=5, seed=0)
    assert drawn.shape == (3, 5)
    for label, row in zip(labels.tolist(), drawn.tolist(), strict=True):
        assert label in row
        assert row == sorted(set(row))
    assert torch.equal(drawn, candidates_of(labels, classes=20, count=5, seed=0))


@pytest.mark.parametrize("path", [linear, reverse_linear, cosine, ddpm], ids=lambda path: path.__name__)
def test_samples_end_at_the_data_that_the_guide_knows(path: Any) -> None:
    # All images are 0.25 everywhere, so x at a time tells the noise, and the noise the prediction.
    class Knows(nn.Module):
        num_classes = 2

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x: torch.Tensor, model_time: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            t = {linear: model_time, cosine: model_time, reverse_linear: 1 - model_time, ddpm: model_time / 1000}[path]
            data, one = torch.full_like(x, 0.25), torch.ones_like(x)
            share = path(0 * one, one, t)[0]  # of the noise in x
            kept = path(one, 0 * one, t)[0]
            return path(data, (x - kept * data) / share.clamp(min=1e-6), t)[1]

    guide = Guide(Knows(), path=path, image_size=4)
    drawn = draw_samples(guide, 1, count=2, steps=200, seed=0, dtype=torch.float32)
    assert drawn.shape == (2, 3, 4, 4)
    torch.testing.assert_close(drawn, torch.full_like(drawn, 0.25), rtol=0, atol=0.06)


def test_the_grid(tmp_path: Path) -> None:
    red = torch.tensor([1.0, 0.0, 0.0])[None, :, None, None].expand(2, 3, 32, 32)
    write_grid(tmp_path / "grid.png", [("a", red), ("ü", 0 * red)])
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (2 * 68 + 4, 2 * (68 + 14) + 4)
        assert grid.getpixel((4, 18)) == grid.getpixel((4 + 68 + 63, 18 + 63)) == (255, 0, 0)
        assert grid.getpixel((4, 18 + 82)) == (0, 0, 0)


def test_new_classes_are_drawn_like_the_old_ones() -> None:
    table = torch.tensor([[1.0, 5.0], [3.0, 5.0], [9.0, 9.0]])
    torch.manual_seed(0)
    made = new_classes(table, 2000)
    assert made.shape == (2001, 2)
    assert torch.equal(made[-1], table[-1])  # no class
    assert made[:-1, 0].mean().item() == pytest.approx(2, abs=0.1)
    assert made[:-1, 0].std().item() == pytest.approx(1, abs=0.1)
    assert torch.equal(made[:-1, 1], torch.full((2000,), 5.0))


@pytest.mark.parametrize(("family", "learns_sigma"), [("repa", False), ("dit", True)])
def test_beginning_with_another_guide(family: str, learns_sigma: bool, tmp_path: Path) -> None:
    old = load_transformer("random", family=family, num_classes=5, latent_size=8, in_channels=3, **SIZES)
    save_weights(old.state_dict(), tmp_path / "old.safetensors")
    overrides = (f"init={{checkpoint: {tmp_path}/old.safetensors}}", f"transformer.family={family}")

    def build(num_classes: int, *more: str) -> nn.Module:
        config = own_config(tmp_path, tmp_path, *overrides, *more)
        return initial_transformer(
            config.transformer,
            config.init,
            num_classes=num_classes,
            image_size=config.image_size,
            in_latents=False,
        )

    new = build(3)
    assert new.state_dict()[TABLE].shape == (4, 32)
    for name, value in old.state_dict().items():
        if name != TABLE:
            assert torch.equal(new.state_dict()[name], value)
    assert {name for name, p in new.named_parameters() if not p.requires_grad} == {"pos_embed"}
    assert torch.equal(build(5, "init.keep=all").state_dict()[TABLE], old.state_dict()[TABLE])
    with pytest.raises(CheckpointError, match=r"knows 5 classes, the data have 3; set init.keep=all_but_classes"):
        build(3, "init.keep=all")
    save_described(old.state_dict(), tmp_path / "old.safetensors", description={"class_names": list("abcde")})
    keeps = own_config(tmp_path, tmp_path, *overrides, "init.keep=all")
    sizes: dict[str, Any] = {"num_classes": 5, "image_size": 8, "in_latents": False}
    initial_transformer(keeps.transformer, keeps.init, **sizes, classes="abcde")
    with pytest.raises(CheckpointError, match=r"in another order: 0 is 'b' in the data, 'a' there; give its order as"):
        initial_transformer(keeps.transformer, keeps.init, **sizes, classes="bacde")
    with pytest.raises(CheckpointError) as caught:
        build(3, "transformer.depth=2", "image_size=16")
    assert "transformer.depth=1" in str(caught.value)
    assert "image_size=8" in str(caught.value)


def test_fine_tuning_a_dit(tmp_path: Path) -> None:
    old = load_transformer("random", family="dit", num_classes=5, latent_size=8, in_channels=3, **SIZES)
    save_weights(old.state_dict(), tmp_path / "old.safetensors")
    overrides = (f"init={{checkpoint: {tmp_path}/old.safetensors}}", "transformer.family=dit", "training.iterations=4")
    pretrain(0, own_config(tmp_path / "out", own_images(tmp_path / "images"), *overrides))
    text = (tmp_path / "out" / "guide.yaml").read_text()
    assert "family: dit" in text
    assert "name: ddpm" in text


def test_latents_are_encoded_once_and_anew_when_something_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = own_images(tmp_path / "images", count=3)
    for number in (0, 1):
        torch.manual_seed(number)
        blocks: dict[str, Any] = {
            "down_block_types": ("DownEncoderBlock2D",) * 4,
            "up_block_types": ("UpDecoderBlock2D",) * 4,
        }
        AutoencoderKL(**blocks, block_out_channels=(4, 4, 8, 8), norm_num_groups=2, latent_channels=4).save_pretrained(
            tmp_path / f"vae{number}"
        )
    encoded: list[int] = []
    encode = Guide.encode
    monkeypatch.setattr(Guide, "encode", lambda self, images: encoded.append(len(images)) or encode(self, images))

    def train(name: str, vae: int, *overrides: str) -> list[str]:
        encoded.clear()
        given = (f"vae={{pretrained: {tmp_path}/vae{vae}, views: 2, cache: {tmp_path}/cache}}", "image_size=32")
        pretrain(0, own_config(tmp_path / name, root, *given, "training.iterations=4", *overrides))
        lines = capsys.readouterr().out.splitlines()
        return [line.rpartition(": ")[2] for line in lines if "made anew, since" in line]

    assert train("a", 0) == []
    assert sum(encoded) == 6 * 2 + 3  # six images to learn from in two views, three held out
    assert train("b", 0) == []
    assert encoded == []
    assert train("c", 1) == ["vae", "vae"]
    assert sum(encoded) == 15
    assert train("d", 1, "augment.contrast=0.1") == ["augment"]  # held-out images are shown as they are
    (root / "red" / "0.png").write_bytes((root / "red" / "1.png").read_bytes() + b"\0")
    assert train("e", 1, "augment.contrast=0.1") in (["files"], ["files", "files"])
    assert train("f", 1, "augment.contrast=0.1") == []
    for path in (root / "red").iterdir():  # another content of the same size
        path.write_bytes(path.read_bytes()[:-1] + b"\1")
    assert "files" in train("g", 1, "augment.contrast=0.1")
    with Image.open(tmp_path / "a" / "samples_4.png") as grid:
        assert grid.size[0] == 64 + 8  # 32 pixels, decoded and enlarged
    assert f"pretrained: {tmp_path}/vae0" in (tmp_path / "a" / "guide.yaml").read_text()


def test_two_trainings_do_not_encode_into_one_file(tmp_path: Path) -> None:
    part = tmp_path / "cache" / "training.npy.part"
    with latents._alone(part):
        latents._make(part, (2, 3))
        with pytest.raises(ConfigError, match=r"cache: another training encodes its images into it; wait for it, or"):
            latents._alone(part).__enter__()
    with latents._alone(part):  # what a training that was killed has left is taken over
        latents._make(part, (2, 3))
    assert np.load(part).shape == (2, 3)


def test_a_full_disk_is_told_before_anything_is_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, start: int, count: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(latents.os, "posix_fallocate", full)
    with pytest.raises(ConfigError, match=r"cannot be written to \(No space left on device\); choose another vae"):
        latents._make(tmp_path / "training.npy.part", (2, 3))


def in_a_group(folder: str, root: str) -> dict[str, Any]:
    """A short training, as one of several processes."""
    config = own_config(Path(folder), Path(root), "training.precision=float64", "training.iterations=5", "resume=auto")
    pretrain(0, config)
    path = Path(folder) / "checkpoints" / "checkpoint_5.pt"
    return {"average": torch.load(path, weights_only=True)["average"]}


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    root = str(own_images(tmp_path / "images"))
    (tmp_path / "ranks").mkdir()
    two = in_processes(functools.partial(in_a_group, str(tmp_path / "two"), root), tmp_path / "ranks")
    one = in_a_group(str(tmp_path / "one"), root)
    for name, value in one["average"].items():
        for other in two:
            assert other["average"][name].dtype == torch.float64
            torch.testing.assert_close(other["average"][name], value, rtol=0, atol=1e-9)
    curves = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two")]
    assert curves[0]["accuracy"] == curves[1]["accuracy"]
    assert curves[0]["loss"] == pytest.approx(curves[1]["loss"], abs=1e-9)
