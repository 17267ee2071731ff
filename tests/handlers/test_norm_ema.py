"""The moving average of the norm parameters."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from support.toys import CLASSES, Adaptation, assert_identical, noise_task, through_a_file, toy_classifier
from torch import nn

from dusa_ignite.engine import TaskEvents, create_adaptation_engine, output_of
from dusa_ignite.errors import ConfigError
from dusa_ignite.handlers import NormEMA
from dusa_ignite.models import Classifier
from dusa_ignite.models.norms import norm_parameters

TASK = noise_task("fog", 5, seed=3)
IMAGES = torch.stack([TASK.dataset[index][0] for index in range(5)])


class Tiny(nn.Module):
    """A linear layer, and a norm whose gain the tests set."""

    num_classes = 2
    uses_batch_statistics = False

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2, bias=False)
        self.norm: nn.Module = nn.LayerNorm(2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.norm(self.linear(images.mean(dim=(2, 3))))


def batch(images: Any, *, first: bool = True, last: bool = True) -> dict[str, Any]:
    count = len(images)
    labels = torch.zeros(count, dtype=torch.int64)
    return {"images": images, "labels": labels, "index": torch.arange(count), "first": first, "last": last, "task": "a"}


def run(gains: list[float], **kwargs: Any) -> tuple[NormEMA, list[torch.Tensor | None]]:
    """Updates that set the norm's gain to each of ``gains`` and flip the sign of the logits.

    Returns:
        The handler, and what the averages predicted each time.
    """
    torch.manual_seed(0)
    classifier: Any = Tiny()
    ema = NormEMA(classifier, **{"decay": 0.5, "evaluate": True, "micro_batch_size": 2, **kwargs})
    predicted: list[torch.Tensor | None] = []

    @torch.no_grad()
    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        classifier.norm.weight.fill_(gains[engine.state.iteration - 1])
        classifier.linear.weight.neg_()  # and with it the sign of the logits
        return {"y": batch["labels"]}

    engine = create_adaptation_engine(update)
    ema.attach(engine)
    engine.add_event_handler(
        TaskEvents.UPDATE_COMPLETED, lambda engine: predicted.append(output_of(engine).get("ema_y_pred"))
    )
    engine.run([batch(IMAGES, first=k == 0, last=k == len(gains) - 1) for k in range(len(gains))], max_epochs=1)
    return ema, predicted


def test_average_by_hand() -> None:
    ema, _ = run([3.0, 7.0])
    assert ema.averages["norm.weight"].tolist() == [4.5, 4.5]  # (1 + 3) / 2 = 2, (2 + 7) / 2
    assert ema.averages["norm.bias"].tolist() == [0, 0]
    assert ema.averages.keys() == {"norm.weight", "norm.bias"}
    slow, _ = run([3.0, 7.0], decay=0.9)
    assert slow.averages["norm.weight"].tolist() == pytest.approx([1.78, 1.78])  # 0.9 * 1.2 + 0.1 * 7
    none, _ = run([3.0, 7.0], decay=0.0)
    assert none.averages["norm.weight"].tolist() == [7, 7]


def test_predictions_are_those_of_before_the_update() -> None:
    torch.manual_seed(0)
    source = Tiny()(IMAGES / 255).detach()  # with a gain of 1; the logits are proportional to the gain
    _, predicted = run([3.0, 7.0, 1.0])
    for logits, gain in zip(predicted, [1.0, -2.0, 4.5], strict=True):
        torch.testing.assert_close(logits, gain * source)


def test_without_evaluation_nothing_is_predicted() -> None:
    ema, predicted = run([3.0, 7.0], evaluate=False)
    assert predicted == [None, None]
    assert ema.averages["norm.weight"].tolist() == [4.5, 4.5]


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_the_run_is_the_same_with_and_without(name: str) -> None:
    def adapted(ema_decay: float | None) -> Adaptation:
        run = Adaptation(toy_classifier(name), dtype=torch.float32, ema_decay=ema_decay)
        return run.run([TASK, noise_task("snow", 3, seed=4)], batch_size=3)

    plain, averaged = adapted(None), adapted(0.5)
    state = averaged.state()
    state.pop("norm_ema")
    assert_identical(state, plain.state())
    for with_ema, without in zip(averaged.log, plain.log, strict=True):
        assert torch.equal(with_ema["logits"], without["logits"])
        assert with_ema["metrics"].keys() - without["metrics"].keys() == {"ema_top1"}
    assert averaged.log[0]["metrics"]["ema_top1"] == averaged.log[0]["metrics"]["top1"]  # both from the source weights


def averaged_logits(classifier: Classifier, micro_batch_size: int, images: Any) -> torch.Tensor:
    """What the averages predict before anything has been learnt."""
    ema = NormEMA(classifier, decay=0.5, evaluate=True, micro_batch_size=micro_batch_size)
    engine = create_adaptation_engine(lambda engine, batch: {})
    ema.attach(engine)
    engine.run([batch(images)], max_epochs=1)
    return output_of(engine)["ema_y_pred"]


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_micro_batches_do_not_change_predictions(name: str) -> None:
    classifier = toy_classifier(name).double()
    expected = classifier(IMAGES.double() / 255).detach()
    for size in (1, 2, 8):
        torch.testing.assert_close(averaged_logits(classifier, size, IMAGES), expected, rtol=0, atol=1e-12)


def test_images_of_mixed_sizes_and_none() -> None:
    classifier = toy_classifier("test_vit").double()
    images = [IMAGES[0], IMAGES[1][:, :20], IMAGES[2]]
    expected = torch.cat([classifier([image.double() / 255]) for image in images]).detach()
    torch.testing.assert_close(averaged_logits(classifier, 2, images), expected, rtol=0, atol=1e-12)
    none = averaged_logits(classifier, 2, torch.empty(0, 3, 1, 1, dtype=torch.uint8))
    assert none.shape == (0, CLASSES)


def test_state_dict() -> None:
    ema, _ = run([3.0, 7.0])
    state = through_a_file(ema.state_dict())
    fresh, _ = run([9.0])
    fresh.load_state_dict(state)
    assert_identical(fresh.state_dict(), ema.state_dict())
    state["norm.weight"].fill_(0)
    assert fresh.averages["norm.weight"].tolist() == [4.5, 4.5]


def test_norm_layers_alone_are_averaged() -> None:
    classifier = toy_classifier("test_resnet", trainable="none")
    ema = NormEMA(classifier, decay=0.9, evaluate=False, micro_batch_size=1)
    assert ema.averages.keys() == norm_parameters(classifier).keys()
    assert not any(average.requires_grad for average in ema.averages.values())
    engine = create_adaptation_engine(lambda engine, batch: {})
    ema.attach(engine)
    assert not engine.has_event_handler(ema.predict, Events.ITERATION_STARTED)


def test_a_classifier_without_norm_layers() -> None:
    model: Any = Tiny()
    model.norm = nn.Identity()
    with pytest.raises(ConfigError, match="no norm layer with affine parameters; set norm_ema=null"):
        NormEMA(model, decay=0.9, evaluate=True, micro_batch_size=2)
