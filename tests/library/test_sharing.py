"""Several threads, warnings, images that cannot be used, and a module that nobody but its owner knows."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from support.toys import CLASSES, SIDE, assert_identical, toy_classifier, toy_guide
from torch import nn

from dusa_ignite import Adapter
from dusa_ignite.errors import ConfigError, DataError
from dusa_ignite.handlers.harm_monitor import MonitorOptions
from dusa_ignite.methods import Dusa, Tent
from dusa_ignite.methods.lame import Lame
from dusa_ignite.methods.optimizers import Sgd
from dusa_ignite.models import Classifier, declared_view

VIEW: dict[str, Any] = {"image_size": SIDE, "mean": (0.5, 0.25, 0.0), "std": (0.5, 0.25, 1.0)}


def tent(**options: Any) -> Adapter:
    return Adapter(toy_classifier(), method=Tent.Options(), optimizer=Sgd(lr=1e-3), **options)


def noise(count: int, *, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)


# Threads


def test_four_threads_lose_no_image() -> None:
    adapter = tent()
    met: list[int] = []

    @adapter.engine.on(Events.ITERATION_COMPLETED)
    def write(engine: Engine) -> None:
        batch: Any = engine.state.batch
        met.extend(batch["index"].tolist())

    everybody_is_here = threading.Barrier(4)

    def serve(thread: int) -> int:
        everybody_is_here.wait()
        answered = 0
        for number in range(10):
            images = noise(1 + (thread + number) % 3, seed=10 * thread + number)
            logits = adapter(images)
            assert adapter.source_logits is not None
            assert torch.equal(adapter.source_logits, source.predict(images))  # of this thread's images
            assert len(adapter.predict(images)) == len(logits) == len(images)
            answered += len(logits)
        return answered

    source = tent()
    with ThreadPoolExecutor(4) as pool:
        answered = sum(pool.map(serve, range(4)))
    assert answered == sum(1 + (thread + number) % 3 for thread in range(4) for number in range(10)) == 79
    assert sorted(met) == list(range(79))
    assert (adapter.images, adapter.engine.state.iteration) == (79, 40)


def test_a_pause_waits_for_the_update_that_is_under_way() -> None:
    adapter = tent()
    inside, go_on = threading.Event(), threading.Event()

    @adapter.engine.on(Events.ITERATION_STARTED)
    def wait() -> None:
        inside.set()
        assert go_on.wait(20)

    with ThreadPoolExecutor(2) as pool:
        learning = pool.submit(adapter, noise(2))
        assert inside.wait(20)
        pausing = pool.submit(adapter.pause)
        assert not pausing.done()
        go_on.set()
        learning.result(20)
        pausing.result(20)
    assert adapter.is_paused
    adapter(noise(2))
    assert adapter.images == 2


def test_a_handler_may_predict_and_may_fail() -> None:
    adapter = tent()
    handler = adapter.engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: adapter.predict(noise(1)))
    adapter(noise(2))
    handler.remove()
    with adapter.engine.add_event_handler(Events.ITERATION_STARTED, lambda: 1 / 0), pytest.raises(ZeroDivisionError):
        adapter(noise(2))
    adapter(noise(2))
    assert adapter.images == 4  # those of the call that failed were not learnt from


# Warnings


def collapse(adapter: Adapter) -> None:
    """After an update the classifier names class 0."""
    *_, last = (m for m in adapter.classifier.backbone.modules() if isinstance(m, nn.Linear))

    @adapter.engine.on(Events.ITERATION_COMPLETED)
    @torch.no_grad()
    def spoil() -> None:
        last.weight.mul_(0.999)
        last.bias[0] += 100.0


def test_warnings_show() -> None:
    adapter = tent(monitor=MonitorOptions(window=8))
    collapse(adapter)
    for seed in range(2):
        adapter(noise(4, seed=seed))
    assert adapter.warnings == {}
    for seed in range(2, 6):
        adapter(noise(4, seed=seed))
    assert list(adapter.warnings) == ["collapse"]
    assert "one class takes 100% of the predictions" in adapter.warnings["collapse"]
    adapter.reset()
    assert adapter.warnings == {}


def test_a_stopped_adapter_predicts_as_the_source_model_until_it_is_reset() -> None:
    classifier = toy_classifier()
    adapter = Adapter(classifier, method=Tent.Options(), monitor=MonitorOptions(window=4, action="stop"))
    collapse(adapter)
    before = adapter.predict(noise(4))
    for seed in range(6):
        logits = adapter(noise(4, seed=seed))
    assert list(adapter.warnings) == ["stopped"]
    assert adapter.source_logits is not None
    assert torch.equal(logits, adapter.source_logits)
    assert torch.equal(adapter.predict(noise(4)), before)
    adapter.reset()
    assert adapter.warnings == {}


def test_without_a_monitor_there_is_nothing_to_see() -> None:
    adapter = tent(monitor=MonitorOptions(action="off"))
    assert adapter.output is None
    adapter(noise(4))
    assert (adapter.source_logits, adapter.warnings, adapter.monitor) == (None, {}, None)


# Images


def test_all_forms_of_images_are_the_same_images() -> None:
    images = noise(4)
    images[:, 1:] = images[:, :1]
    grey, of_floats = images[:, :1], images.float() / 255
    wanted = tent()(images)
    for form in (list(images), tuple(images), grey, list(grey), of_floats, [images[0], *grey[1:]]):
        assert torch.equal(tent()(form), wanted)
    mixed = [torch.zeros(3, 40, 50), torch.full((1, 64, 33), 255, dtype=torch.uint8)]
    assert tent()(mixed).shape == (2, CLASSES)


def test_images_that_cannot_be_used() -> None:
    adapter = tent()
    adapter(noise(2))
    before = adapter.state_dict()
    wrong: list[tuple[Any, str]] = [
        (torch.full((2, 3, 8, 8), torch.nan), "images: float32 with values that are NaN or infinite"),
        ([torch.zeros(3, 8, 8), torch.full((3, 8, 8), torch.nan)], r"images\[1\]: float32 with values that are NaN"),
        (torch.full((2, 3, 8, 8), 255.0), "images: float32 from 255 to 255; .*: divide them by 255"),
        (torch.zeros(0, 3, 8, 8), "images: there are none"),
        ([], "images: there are none"),
        (torch.zeros(3, 8, 8), r"images: shape \(3, 8, 8\); images are \(B, 3, H, W\); a single one is images\[None\]"),
        ([torch.zeros(1, 3, 8, 8)], r"images\[0\]: shape \(1, 3, 8, 8\); images are \(3, H, W\) in a list"),
        (torch.zeros(2, 8, 8, 3), "the channels seem to come last"),
        (torch.zeros(2, 4, 8, 8), "4 channels"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.int64), "int64"),
        (noise(1).numpy(), "images: type ndarray; images are tensors"),
    ]
    for images, said in wrong:
        for method in (adapter, adapter.predict):
            with pytest.raises(DataError, match=said):
                method(images)
    for numbers in ([0], [0, -1], [0.0, 1.0], [True, False]):
        with pytest.raises(DataError, match="index: 2 integers >= 0"):
            adapter(noise(2), index=numbers)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="labels: 2 integers >= -1"):
        adapter(noise(2), labels=[1])
    assert_identical(adapter.state_dict(), before)


# A module of one's own


class Plain(nn.Module):
    """It knows nothing of timm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, 3)
        self.last = nn.Linear(3, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.last(self.norm(images).pow(2).mean(dim=(2, 3)))


def test_any_module_with_logits() -> None:
    module = Plain()
    classifier = Classifier(module, num_classes=CLASSES, view=declared_view(**VIEW))
    images = noise(4)
    seen = (images.float() / 255 - torch.tensor(VIEW["mean"])[:, None, None]) / torch.tensor(VIEW["std"])[:, None, None]
    expected = module(seen).detach()
    adapter = Adapter(classifier, toy_guide(), Dusa.Options(num_top=2, num_random=1))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    torch.testing.assert_close(adapter(images), expected)
    assert {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])} == set(before)
    assert adapter.predict([torch.rand(3, 20, 50), torch.rand(3, 70, 40)]).shape == (2, CLASSES)


def test_what_a_module_does_not_say_is_not_guessed() -> None:
    for said, options in (
        ("num_classes: Plain does not say", {"view": declared_view(**VIEW)}),
        ("view: how images are prepared for Plain is not known", {"num_classes": CLASSES}),
    ):
        with pytest.raises(ConfigError, match=said):
            Classifier(Plain(), **options)
    with pytest.raises(ConfigError, match=r"view: std \(0, 1, 1\) is not allowed"):
        declared_view(**{**VIEW, "std": (0, 1, 1)})
    with pytest.raises(ConfigError, match="view: image_size 0 is not allowed; image_size: pixels"):
        declared_view(**{**VIEW, "image_size": 0})
    with pytest.raises(ConfigError, match=rf"num_classes is 5, but two images give logits of \(2, {CLASSES}\)"):
        Adapter(Classifier(Plain(), num_classes=5, view=declared_view(**VIEW)), method=Tent.Options())
    classifier = Classifier(Plain(), num_classes=CLASSES, view=declared_view(**VIEW))
    with pytest.raises(ConfigError, match="Plain has no forward_features"):
        Adapter(classifier, method=Lame.Options())(noise(2))
