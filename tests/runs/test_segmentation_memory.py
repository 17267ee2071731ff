"""The estimate of the memory of runs that segment: windows, pairs, enlarged images; and runs that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.files import CONFIGS
from support.segmentation_runs import configure, write_data, write_models
from support.tiny_diffusion import CLASSES

from dusa_ignite.config import Config, load_config
from dusa_ignite.data.segmentation.drawing import CLASSES as DIGITS
from dusa_ignite.distributed.launch import launch
from dusa_ignite.errors import USER_ERROR
from dusa_ignite.methods import PixelCotta, WindowDusa
from dusa_ignite.methods.footprint import SlidingWindows
from dusa_ignite.models.live_memory import LiveMemory, usage
from dusa_ignite.models.model_memory import bytes_of, classifier_usage, trained, transformer_usage, weights
from dusa_ignite.runs import assemble, memory
from dusa_ignite.runs.adapt import adapt
from dusa_ignite.runs.assemble_models import classifier_of, guide_of
from dusa_ignite.runs.assemble_shapes import largest_micro_batch, shapes_of
from dusa_ignite.runs.memory import memory_of
from dusa_ignite.runs.micro_batches import resolved


def canvases(*overrides: str) -> Config:
    return load_config(CONFIGS / "shapes.yaml", list(overrides))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A UNet with VAE, text encoder and ControlNet, all tiny; images of 32 x 43 pixels, windows of 32, 16 apart."""
    folder = tmp_path_factory.mktemp("full")
    write_models(folder)
    write_data(folder / "data")
    return configure(folder, folder / "data", folder / "out")


# Models without content


def test_they_are_as_large_as_those_with_weights(full: Config) -> None:
    for config, names in ((canvases(), DIGITS), (full, CLASSES)):
        shapes = shapes_of(config)
        assert shapes.unknown == ()
        for model, real in ((shapes.classifier, classifier_of(config)), (shapes.guide, guide_of(config, names))):
            assert model is not None
            assert real is not None
            assert {tensor.device.type for tensor in weights(model)} == {"meta"}
            described = {name: (tuple(p.shape), p.dtype, p.requires_grad) for name, p in model.named_parameters()}
            assert described == {
                name: (tuple(p.shape), p.dtype, p.requires_grad) for name, p in real.named_parameters()
            }
            assert bytes_of(weights(model)) == bytes_of(weights(real))


def test_parts_of_a_run() -> None:
    parts = memory_of(canvases()).parts
    own, guides = 346_987 * 4, 969_715 * 4  # bytes of the parameters, which all learn
    view, prompts = 6 * 4, 11 * 4 * 32 * 4  # mean and standard deviation; classes, tokens, width
    statistics = 2 * 64 * 4 + 8  # of a layer of BatchNorm
    assert parts["weights"] == own + view + statistics + guides + prompts
    assert parts["gradients"] == own + guides
    assert parts["optimizer"] == 2 * (own + guides)
    assert parts["copies"] == own + view + statistics  # the monitor's segmenter
    assert parts["batch"] == 3 * 64 * 64 * (1 + 4 + 4)


def test_images_keep_their_ratio(full: Config) -> None:
    assert shapes_of(full).sides == (32, 43)  # of whatever nobody knows more about, 4 : 3
    assert memory_of(full).parts["batch"] == 3 * 32 * 43 * (1 + 8 + 8)
    street = canvases("data={name: cityscapes, root: nowhere}", "classifier.num_classes=19", "method.name=source")
    assert shapes_of(street).sides == (64, 128)


# Windows


def test_pairs_of_window_and_class(full: Config) -> None:
    assert WindowDusa.footprint(WindowDusa.Options()).windows == SlidingWindows(512, 171)
    assert shapes_of(full).pairs(3) == 2 * 3  # 32 x 43: windows at 0 and 11
    assert shapes_of(full).pairs(20) == 2 * 6  # of 6 classes
    assert shapes_of(canvases()).pairs(4) == 4 * 4
    assert largest_micro_batch(canvases()) == 16
    assert largest_micro_batch(canvases("method.name=tent", "data.batch_size=3")) == 3


@pytest.mark.parametrize(("size", "pairs"), [(1, 1), (4, 4), (64, 16)])
def test_activations_are_those_of_a_micro_batch_of_pairs(size: int, pairs: int) -> None:
    config = canvases(f"data.micro_batch_size={size}")
    shapes = shapes_of(config)
    assert shapes.classifier is not None
    assert shapes.guide is not None
    own = classifier_usage(shapes.classifier, 1, graph=True)
    guides = transformer_usage(shapes.guide, pairs, graph=True, embedded=False)
    earlier = bytes_of(trained(shapes.guide)) if pairs < 16 else 0  # gradients of earlier pieces
    gradients = bytes_of(trained(shapes.guide)) + bytes_of(trained(shapes.classifier))
    asking, learning = own.graph + guides.peak + earlier, bytes_of(trained(shapes.guide)) + own.peak
    assert memory_of(config).parts["activations"] == max(asking, learning) - gradients


def test_what_needs_less() -> None:
    def activations(*overrides: str) -> int:
        return memory_of(canvases("data.micro_batch_size=64", *overrides)).parts["activations"]

    whole = activations()
    assert activations("method.guide_backward=sampled") < 0.3 * whole  # a class of four
    assert activations("unet.activation_checkpointing=blocks") < 0.5 * whole
    assert memory_of(canvases("unet.trainable=false")).parts["gradients"] == 346_987 * 4


@pytest.mark.parametrize("blocks", ["none", "blocks"])
def test_half_precision_takes_what_torch_takes(blocks: str) -> None:
    """Weights that were cast stay so until the end of an update, also where blocks are computed again."""
    config = canvases("run.precision=bfloat16", f"unet.activation_checkpointing={blocks}")
    guide, shapes = guide_of(config, DIGITS), shapes_of(config).guide
    assert guide is not None
    assert shapes is not None
    x_t, times, classes = torch.rand(4, 3, 32, 32), torch.full((4,), 300), torch.arange(4)[:, None]
    live = LiveMemory([*weights(guide), x_t, times, classes])
    with live, guide.weights_cast_once(x_t.device):
        predicted = guide.predict(x_t, times, classes)
        graph = live.now
        predicted.sum().backward()
    measured = transformer_usage(shapes, 4, graph=True, embedded=False)
    assert measured.graph == pytest.approx(graph, rel=0.02)
    assert measured.peak == pytest.approx(live.peak, rel=0.02)


# Images one by one


def test_images_that_come_one_by_one() -> None:
    """A segmenter's passes for three images are measured with one."""
    segmenter = shapes_of(canvases("method.name=tent")).classifier
    assert segmenter is not None
    images = torch.empty(3, 3, 64, 64, device="meta")
    together = usage(lambda: segmenter(images), present=[*weights(segmenter), images], graph=True)
    measured = classifier_usage(segmenter, 3, graph=True)
    assert measured.graph == pytest.approx(together.graph, rel=0.02)
    assert measured.peak == pytest.approx(together.peak, rel=0.02)


def test_a_teacher_that_sees_enlarged_images() -> None:
    assert PixelCotta.footprint(PixelCotta.Options(scales=(0.5, 3.0))).largest_scale == 3
    large = memory_of(canvases("method.name=pixel_cotta", "method.scales=[4]"))
    small = memory_of(canvases("method.name=pixel_cotta", "method.scales=[1]"))
    segmenter = shapes_of(canvases("method.name=pixel_cotta")).classifier
    assert segmenter is not None
    enlarged = classifier_usage(segmenter, 1, graph=False, sides=(256, 256)).peak
    assert large.parts["activations"] == enlarged - 346_987 * 4 > small.parts["activations"]
    assert large.parts["copies"] == small.parts["copies"] == 3 * bytes_of(weights(segmenter))


@pytest.mark.parametrize("method", ["source", "bn", "tent", "eata", "sar", "pixel_cotta", "window_dusa"])
def test_every_method_can_be_estimated(method: str) -> None:
    found = memory_of(canvases(f"method.name={method}"))
    assert found.unknown == ()
    assert found.parts["weights"] >= 346_987 * 4
    assert found.parts["activations"] > 0


# Runs that do not fit


def never(*arguments: Any, **options: Any) -> Any:
    raise AssertionError("the models were built")


def test_what_does_not_fit_is_refused_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    config = canvases(f"output_dir={tmp_path}", "data.micro_batch_size=5")
    sizes = {size: memory_of(canvases(f"data.micro_batch_size={size}")).total for size in (3, 4)}
    monkeypatch.setattr(memory, "free_memory", lambda: sizes[3])
    assert sizes[3] < sizes[4] < memory_of(config).total
    monkeypatch.setattr(assemble, "classifier_of", never)
    assert launch(adapt, config, False) == USER_ERROR
    (line,) = capfd.readouterr().err.splitlines()[-1:]
    assert ": this does not fit; what makes it fit: data.micro_batch_size=3 (" in line
    assert "unet.trainable=false (" in line
    assert line.endswith("run.memory_check=false tries it all the same")


def test_the_largest_micro_batch_of_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    automatic = canvases("data.micro_batch_size=auto")
    assert resolved(automatic).data.micro_batch_size == 16
    fits = memory_of(canvases("data.micro_batch_size=4")).total
    monkeypatch.setattr(memory, "free_memory", lambda: int(fits / 0.9) + 1000)
    assert resolved(automatic).data.micro_batch_size == 4


def test_a_model_that_is_missing_is_unknown() -> None:
    found = memory_of(canvases("unet.pretrained=/nowhere", "classifier.name=transformers:/nowhere"))
    assert found.unknown == ("classifier.name=transformers:/nowhere", "unet.pretrained=/nowhere")
    assert found.parts["weights"] == 0
