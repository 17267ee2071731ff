"""Pre-training: the schema's limits, a schedule that does what it says, and runs that repeat bit for bit."""

import itertools
import json
import math
from pathlib import Path

import pytest
import torch
from support.files import ROOT
from torch import nn

from dusa_ignite.commands.main import main
from dusa_ignite.config import read_config
from dusa_ignite.errors import ConfigError
from dusa_ignite.models import build_classifier, load_transformer
from dusa_ignite.pretraining.augment import fade, shift, training_batches
from dusa_ignite.pretraining.config import PretrainConfig, Training
from dusa_ignite.pretraining.digits import class_losses, load_split, pretrain
from dusa_ignite.pretraining.loop import train

CONFIG = ROOT / "configs" / "digits_pretrain.yaml"
QUICK = (
    "num_threads=1",
    "classifier={iterations: 12, batch_size: 32, lr: 3.0e-3, warmup: 3, ema_decay: 0.5, validate_every: 5}",
    "transformer={iterations: 20, batch_size: 32, lr: 4.0e-3, warmup: 3, ema_decay: 0.5, hidden_size: 32, depth: 1}",
)


def quick(folder: Path, *overrides: str) -> PretrainConfig:
    return read_config(CONFIG, [f"output_dir={folder}", *QUICK, *overrides], schema=PretrainConfig)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.slow
def test_a_few_updates_learn_and_repeat_bit_for_bit(tmp_path: Path) -> None:
    first = pretrain(quick(tmp_path / "a"))
    second = pretrain(quick(tmp_path / "b"))
    other = pretrain(quick(tmp_path / "c", "seed=1"))
    assert first["classifier"]["training_loss"] < math.log(10)  # that of guessing; the mean over 12 updates
    # at the start it predicts 0 for the velocity z - x0, whose mean square is 1 + mean(x0^2), well above 1
    assert first["transformer"]["training_loss"] < 1.2
    assert first["transformer"]["validation_loss"] < 1.0
    for name in ("classifier.safetensors", "transformer.safetensors"):
        content = (tmp_path / "a" / name).read_bytes()
        assert content == (tmp_path / "b" / name).read_bytes()
        assert content != (tmp_path / "c" / name).read_bytes()
    written = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert written == first
    assert written["classifier"]["validation_accuracy"] == second["classifier"]["validation_accuracy"]
    assert written["transformer"]["validation_loss"] != other["transformer"]["validation_loss"]

    classifier = build_classifier(
        "test_convnext", num_classes=10, checkpoint=str(tmp_path / "a" / "classifier.safetensors"), image_size=32
    )
    images, labels = load_split().test
    with torch.no_grad():
        accuracy = (classifier(images).argmax(dim=1) == labels).float().mean().item()
    assert accuracy == pytest.approx(first["classifier"]["test_accuracy"], abs=1e-6)
    load_transformer(
        str(tmp_path / "a" / "transformer.safetensors"),
        family="repa",
        num_classes=10,
        latent_size=8,
        in_channels=3,
        patch_size=2,
        hidden_size=32,
        depth=1,
        num_heads=4,
    )


def test_results_are_not_overwritten_silently(tmp_path: Path) -> None:
    kept = tmp_path / "classifier.safetensors"
    kept.write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"holds classifier.safetensors; choose another, or give --overwrite"):
        pretrain(quick(tmp_path))
    assert kept.read_bytes() == b"mine"
    pretrain(quick(tmp_path, "classifier.iterations=4", "transformer.iterations=4"), overwrite=True)
    assert kept.read_bytes() != b"mine"


def test_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"output_dir: .*file: cannot be written to"):
        pretrain(quick(tmp_path / "file"))


def test_every_key_stands_in_the_file_and_the_schema_checks_it() -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(
            CONFIG,
            ["transformer.patch_size=3", "classifier.warmup=900", "classifier.lrr=1", "augmentation.min_contrast=0"],
            schema=PretrainConfig,
        )
    lines = str(caught.value).splitlines()
    assert "transformer.patch_size: 3 is not allowed; allowed: a divisor of image_size (8)" in lines[-1]
    assert any("classifier.warmup: 900 is not allowed; allowed: an integer below iterations (900)" in x for x in lines)
    assert any("classifier.lrr: unknown key; did you mean classifier.lr?" in line for line in lines)
    assert any("augmentation.min_contrast: 0 should be greater than 0" in line for line in lines)


def test_command_line_errors_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    assert main(["pretrain", "--config", str(CONFIG), f"output_dir={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert error == f"error: output_dir: {tmp_path}: holds metrics.json; choose another, or give --overwrite\n"


def test_learning_rate_and_average_follow_their_schedules() -> None:
    # With the loss w, Adam's first steps change w by exactly the learning rate, so the rates can be read off.
    class Weight(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros((), dtype=torch.float64))

    model = Weight()
    options = Training(iterations=6, batch_size=1, lr=0.1, warmup=3, ema_decay=0.75, validate_every=1)
    trace: list[tuple[float, float]] = []

    def validate(ema: nn.Module) -> dict[str, float]:
        trace.append((model.w.item(), ema.w.item()))
        return {}

    batches = iter([(torch.zeros(1, 3, 1, 1), torch.zeros(1))] * 6)
    average, metrics = train(
        model,
        loss=lambda batch: 1 * model.w,
        batches=batches,
        validate=validate,
        options=options,
        log_every_seconds=1e9,
    )
    weights = [0.0, *(weight for weight, _ in trace)]
    rates = [before - after for before, after in itertools.pairwise(weights)]
    # up from 0 in steps of lr / 2, then down on half a cosine: lr (1 + cos(pi k / 4)) / 2 for k = 1, 2, 3
    cosine = [0.1 * (1 + math.cos(math.pi * k / 4)) / 2 for k in (1, 2, 3)]
    assert rates == pytest.approx([0.0, 0.05, 0.1, *cosine], rel=1e-6)
    expected = 0.0
    for weight, averaged in trace:
        expected = 0.75 * expected + 0.25 * weight
        assert averaged == pytest.approx(expected, rel=1e-9)
    assert average.w.item() == pytest.approx(expected)
    assert metrics["training_loss"] == pytest.approx(sum(weights[:6]) / 6)  # the loss before each update


def test_shift_moves_and_continues_the_border() -> None:
    ramp = torch.arange(4.0).expand(1, 1, 4, 4)  # grows to the right
    assert torch.equal(shift(ramp, max_shift=0, generator=generator()), ramp)
    rows = {
        tuple(shift(ramp, max_shift=1, generator=torch.Generator().manual_seed(k))[0, 0, 0].tolist()) for k in range(20)
    }
    assert rows == {(0, 0, 1, 2), (0, 1, 2, 3), (1, 2, 3, 3)}


def test_fade_keeps_the_range_and_the_least_contrast() -> None:
    images = torch.tensor([0.0, 1.0]).expand(1000, 3, 1, 2)
    faded = fade(images, min_contrast=0.5, generator=generator())
    contrast = faded[..., 1] - faded[..., 0]
    assert faded.min() >= 0
    assert faded.max() <= 1
    assert 0.5 <= contrast.min() < 0.51
    assert 0.99 < contrast.max() <= 1
    assert torch.equal(fade(images, min_contrast=1.0, generator=generator()), images)


def test_batches_cover_an_epoch_without_repeats() -> None:
    images, labels = torch.rand(10, 3, 4, 4), torch.arange(10)
    batches = training_batches(images, labels, batch_size=4, max_shift=0, min_contrast=1.0, generator=generator())
    first, second, third = (next(batches) for _ in range(3))
    assert len(set(first[1].tolist() + second[1].tolist())) == 8
    assert torch.equal(first[0], images[first[1]])
    assert len(third[1]) == 4  # the next epoch's: the last two of the first are left out


def test_class_losses_compare_classes_at_the_same_noise() -> None:
    class Oracle(nn.Module):
        """Predicts the velocity of a black image for class 3, 0 for the others."""

        def forward(self, x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            z = (x + (1 - t[:, None, None, None])) / t[:, None, None, None]  # x = (1 - t) (-1) + t z
            return torch.where((y == 3)[:, None, None, None], z + 1, torch.zeros_like(x))

    batch = (torch.zeros(2, 3, 32, 32), torch.tensor([3, 5]))
    losses = class_losses(Oracle(), batch, 8, t=0.5)
    assert losses.shape == (2, 10)
    torch.testing.assert_close(losses[:, 3], torch.zeros(2), rtol=0, atol=1e-10)
    assert torch.equal(losses[:, 0], losses[:, 9])
    assert (losses[:, 0] - 2).abs().max() < 0.5  # mean of (z + 1)^2 over 192 draws: 2, standard deviation 0.18
