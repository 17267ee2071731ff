"""Pre-training on canvases: what is drawn, what counts in the guide's loss, and a tiny training from end to end."""

from __future__ import annotations

import importlib.util
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support.files import ROOT
from torch import nn

from dusa_ignite.commands.main import main
from dusa_ignite.config import read_config
from dusa_ignite.data.digits import to_uint8
from dusa_ignite.data.segmentation.drawing import CLASSES
from dusa_ignite.errors import ConfigError
from dusa_ignite.pretraining import shapes_measure
from dusa_ignite.pretraining.shapes import pretrain
from dusa_ignite.pretraining.shapes_config import ShapesConfig
from dusa_ignite.pretraining.shapes_data import Drawn, draw_canvases, window_batches
from dusa_ignite.pretraining.shapes_guide import draw_classes
from dusa_ignite.pretraining.shapes_measure import measure_guide
from dusa_ignite.pretraining.shapes_segmenter import measure_segmenter, train_segmenter
from dusa_ignite.segmentation.load_guide import load_window_guide
from dusa_ignite.segmentation.load_segmenter import load_segmenter

CONFIG = ROOT / "configs" / "shapes_pretrain.yaml"
QUICK = (
    "num_threads=1",
    "canvases={side: 32, training: 8, validation: 4}",
    "segmenter={iterations: 4, batch_size: 2, lr: 1.0e-3, warmup: 2, widths: [8, 8, 8, 8], decoder_width: 8}",
    "guide={iterations: 4, batch_size: 2, lr: 1.0e-3, warmup: 2, widths: [8, 8, 8], window: 16}",
)


def quick(folder: Path, *overrides: str) -> ShapesConfig:
    return read_config(CONFIG, [f"output_dir={folder}", *QUICK, *overrides], schema=ShapesConfig)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_segmenters_batch_norm_learns_from_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    forward = nn.BatchNorm2d.forward

    def spy(self: nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            seen.append(len(x))
        return forward(self, x)

    monkeypatch.setattr(nn.BatchNorm2d, "forward", spy)
    config = quick(Path("unused"))
    drawn = draw_canvases(4, side=32, seed=0, validation=False)
    train_segmenter(config.segmenter, training=drawn, validation=drawn, generator=generator(), log_every_seconds=9)
    assert set(seen) == {config.segmenter.batch_size}


def test_a_tiny_training_repeats_and_its_models_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes_measure, "WINDOWS", 8)
    metrics = pretrain(quick(tmp_path / "a"))
    pretrain(quick(tmp_path / "b"))
    weights = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.safetensors"))
    assert len(weights) == 3
    for file in weights:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert json.loads((tmp_path / "a" / "metrics.json").read_text()) == metrics

    segmenter = load_segmenter(str(tmp_path / "a" / "segmenter"), short_side=32, batch_norm="source")
    assert segmenter.class_names == CLASSES
    assert segmenter(torch.rand(1, 3, 32, 32)).shape == (1, 11, 16, 16)
    drawn = draw_canvases(4, side=32, seed=2024, validation=True)
    measured = measure_segmenter(segmenter, drawn)
    assert measured == pytest.approx({name: metrics["segmenter"][name] for name in measured}, abs=1e-6)

    guide = load_window_guide(
        str(tmp_path / "a" / "guide"), class_names=CLASSES, controlnet=None, window=16, trainable=False
    )
    shares = measure_guide(guide.transformer, drawn, window=16, path=guide.path)
    assert shares == pytest.approx({name: metrics["guide"][name] for name in shares}, abs=0.02)  # stored in float16
    with pytest.raises(ConfigError, match=r"a: holds segmenter, guide, metrics.json; choose another, or give"):
        pretrain(quick(tmp_path / "a"))


def test_canvases_of_training_and_validation_share_no_digit() -> None:
    drawn = draw_canvases(3, side=48, seed=0, validation=False)
    assert (drawn.images.shape, drawn.maps.shape) == ((3, 3, 48, 48), (3, 48, 48))
    more = draw_canvases(5, side=48, seed=0, validation=False)
    assert torch.equal(more.images[:3], drawn.images)
    for other in (
        draw_canvases(3, side=48, seed=0, validation=True),
        draw_canvases(3, side=48, seed=1, validation=False),
    ):
        assert not torch.equal(other.maps, drawn.maps)


def test_windows_are_parts_of_canvases() -> None:
    numbers = torch.arange(2 * 20 * 20).view(2, 20, 20)
    drawn = Drawn((numbers % 256).to(torch.uint8)[:, None].expand(-1, 3, -1, -1), numbers)
    images, maps = next(window_batches(drawn, size=8, batch_size=30, generator=generator()))
    assert (images.shape, maps.shape) == ((30, 3, 8, 8), (30, 8, 8))
    assert torch.equal(to_uint8(images[:, 0]), (maps % 256).to(torch.uint8))
    steps = torch.arange(8)
    assert torch.equal(maps, maps[:, :1, :1] + 20 * steps[:, None] + steps)
    assert len(maps[:, 0, 0].unique()) > 20
    whole, _ = next(window_batches(drawn, size=20, batch_size=2, generator=generator()))
    assert whole.shape == (2, 3, 20, 20)


def test_prompts_are_classes_that_are_there() -> None:
    maps = torch.zeros(600, 4, 4, dtype=torch.int64)
    maps[:300, 0, 0] = 3
    drawn = draw_classes(maps, generator())
    assert set(drawn[:300].tolist()) == {0, 3}
    assert set(drawn[300:].tolist()) == {0}
    assert 110 < (drawn[:300] == 3).sum() < 190  # each with the same probability, however many places it has


class Reader(nn.Module):
    """Is right where the class that it is asked about is drawn, and wrong elsewhere; or the other way round."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.right = right

    def forward(self, x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        there = ((x + 1) / 2 * 255 / 20).round() == y[:, None, None, None]
        return torch.where(there == self.right, 0.0, 1.0)


@pytest.mark.parametrize(("right", "share"), [(True, 1.0), (False, 0.0)])
def test_the_measure_of_a_guide(right: bool, share: float) -> None:
    maps = draw_canvases(8, side=48, seed=0, validation=True).maps
    drawn = Drawn((20 * maps).to(torch.uint8)[:, None].expand(-1, 3, -1, -1), maps)

    def path(x0: torch.Tensor, z: torch.Tensor, t: torch.Tensor) -> Any:
        return x0, torch.zeros_like(z), t

    measured = measure_guide(Reader(right=right), drawn, window=32, path=path)
    assert list(measured) == [
        f"{kind}_{t}" for t, kind in itertools.product((0.1, 0.3, 0.5), ("digit", "ink", "ground"))
    ]
    assert [measured["digit_0.3"], measured["ground_0.3"]] == [share, share]
    assert (measured["ink_0.1"] > 0.5) == right


def test_the_schema_checks_the_file() -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(CONFIG, ["guide.window=96", "segmenter.widths=[8, 8]", "guide.tokns=1"], schema=ShapesConfig)
    text = str(caught.value)
    assert "segmenter.widths" in text
    assert "guide.tokns: unknown key; did you mean guide.tokens?" in text
    with pytest.raises(ConfigError, match=r"window 96 is larger than the canvases' side, 64"):
        read_config(CONFIG, ["guide.window=96"], schema=ShapesConfig)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["pretrain", "--config", "shapes_pretrain", "--print-config"]) == 0
    assert "decoder_width: 64" in capsys.readouterr().out
    assert main(["pretrain", "--config", "shapes_pretrain", "--resume"]) == 2
    assert capsys.readouterr().err.startswith("error: --resume, --nproc: not for the demo's models")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, package=None: None if name == "transformers" else find(name, package)
    )
    assert main(["pretrain", "--config", "shapes_pretrain", f"output_dir={tmp_path / 'new'}"]) == 2
    assert "needs transformers, which is not installed (pip install" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
