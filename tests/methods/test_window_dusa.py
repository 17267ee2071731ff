"""The whole update: windows, micro-batches, what learns, and what it does not depend on."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from support.tiny_diffusion import CLASSES, write_controlnet, write_segformer, write_stable_diffusion

from dusa_ignite.errors import DataError
from dusa_ignite.methods.base import Step
from dusa_ignite.methods.window_dusa import WindowDusa
from dusa_ignite.models.guides.times import fixed, uniform
from dusa_ignite.segmentation.backward import backpropagate_windows
from dusa_ignite.segmentation.load_guide import load_window_guide
from dusa_ignite.segmentation.load_segmenter import load_segmenter
from dusa_ignite.segmentation.sampled import draw_probabilities, sample_pairs
from dusa_ignite.segmentation.segmenter import Segmenter
from dusa_ignite.segmentation.window_guide import WindowGuide
from dusa_ignite.segmentation.window_loss import window_loss
from dusa_ignite.utils.seeding import sample_generators

OPTIONS = WindowDusa.Options(window=32, stride=16, top_per_pixel=2, max_classes=3)
SAMPLED = OPTIONS.model_copy(update={"guide_backward": "sampled"})
CONV_OUT = "guide.transformer.unet.conv_out.weight"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Segmenter, WindowGuide]:
    folder = tmp_path_factory.mktemp("models")
    guide = load_window_guide(
        str(write_stable_diffusion(folder / "sd")),
        class_names=CLASSES,
        controlnet=str(write_controlnet(folder / "control")),
        window=32,
    )
    return load_segmenter(str(write_segformer(folder / "segformer")), short_side=32).double(), guide.double()


class Setup:
    """Copies of the models and one update on them."""

    def __init__(self, models: tuple[Segmenter, WindowGuide], **parts: Any) -> None:
        self.segmenter, self.guide = copy.deepcopy(models)
        if not parts.pop("guide_learns", True):
            self.guide.transformer.requires_grad_(False)
        if not parts.pop("segmenter_learns", True):
            self.segmenter.requires_grad_(False)
        parameters = [p for p in [*self.segmenter.parameters(), *self.guide.parameters()] if p.requires_grad]
        self.optimizer = torch.optim.SGD(parameters, lr=1e-2)
        self.method = WindowDusa(
            **{
                "options": OPTIONS,
                "classifier": self.segmenter,
                "guide": self.guide,
                "optimizer": self.optimizer,
                "time": fixed(t=0.1),
                "seed": 4,
                "micro_batch_size": 64,
                **parts,
            }
        )
        self.before = self.state()

    def state(self) -> dict[str, torch.Tensor]:
        models = {"segmenter": self.segmenter, "guide": self.guide}
        return {f"{k}.{n}": p.detach().clone() for k, model in models.items() for n, p in model.named_parameters()}

    def update(self, images: Any = None, index: tuple[int, ...] = (7,)) -> Step:
        images = make_images() if images is None else images
        return self.method.adapt(images, {"index": torch.tensor(index), "task": "fog/5"})  # type: ignore[typeddict-item]

    def moved(self) -> dict[str, torch.Tensor]:
        after = self.state()
        return {name: after[name] - before for name, before in self.before.items()}


def make_images(*sizes: tuple[int, int]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.rand(3, *size, dtype=torch.float64, generator=generator) for size in sizes or [(48, 64)]]


def assert_same(one: Setup, other: Setup) -> None:
    moved, others = one.moved(), other.moved()
    for name, movement in moved.items():
        torch.testing.assert_close(movement, others[name], rtol=1e-8, atol=1e-14, msg=name)


@pytest.mark.parametrize("micro_batch_size", [1, 4, 5])
def test_micro_batches_have_no_effect(models: Any, micro_batch_size: int) -> None:
    whole, pieces = Setup(models), Setup(models, micro_batch_size=micro_batch_size)
    step, other = whole.update(), pieces.update()
    assert step.loss == pytest.approx(other.loss, rel=1e-12)
    assert torch.equal(step.logits, other.logits)
    assert_same(whole, pieces)
    assert len(whole.method.windows(*view_of(whole))[0]) == 2  # 32 x 43 pixels


def view_of(setup: Setup) -> tuple[torch.Tensor, torch.Tensor, torch.Generator]:
    view = setup.segmenter.crop(make_images())
    return view, setup.segmenter(view), torch.Generator().manual_seed(1)


def test_what_is_in_the_graph_at_once(models: Any) -> None:
    setup, seen = Setup(models, micro_batch_size=2), []
    predict = setup.guide.transformer.forward

    def watched(x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        seen.append((len(x), torch.is_grad_enabled()))
        return predict(x, t, y)

    setup.guide.transformer.forward = watched
    setup.update()
    pairs = sum(len(window.kept.classes) for window in setup.method.windows(*view_of(setup))[0])
    assert pairs == 6
    assert seen == [(2, False), (2, False), (2, True), (2, True), (2, True)]


def test_sampled_needs_one_graph_per_window(models: Any) -> None:
    setup, seen = Setup(models, options=SAMPLED, micro_batch_size=4), []
    predict = setup.guide.transformer.forward

    def watched(x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        seen.append((len(x), torch.is_grad_enabled()))
        return predict(x, t, y)

    setup.guide.transformer.forward = watched
    setup.update()
    assert seen == [(4, False), (2, False), (2, True)]  # two windows of three classes


def test_the_sampled_update_leaves_the_segmenters_exact(models: Any) -> None:
    exact, sampled, pieces = (
        Setup(models), Setup(models, options=SAMPLED), Setup(models, options=SAMPLED, micro_batch_size=1)
    )  # fmt: skip
    losses = [setup.update().loss for setup in (exact, sampled, pieces)]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-12)
    assert_same(sampled, pieces)
    moved, others = exact.moved(), sampled.moved()
    for name, movement in moved.items():
        if name.startswith("segmenter"):
            torch.testing.assert_close(movement, others[name], rtol=1e-8, atol=1e-14)
    assert not torch.allclose(moved[CONV_OUT], others[CONV_OUT])


def test_the_sampled_gradient_is_unbiased(models: Any) -> None:
    """Over all classes that can be drawn in a window, weighted with their probabilities: the whole gradient."""
    setup = Setup(models)
    windows = setup.method.windows(*view_of(setup))[0][:1]
    parameters = list(setup.guide.transformer.parameters())

    def gradient(uniform: float | None) -> list[torch.Tensor]:
        setup.optimizer.zero_grad()
        sampled = None if uniform is None else torch.tensor([uniform], dtype=torch.float64)
        backpropagate_windows(
            setup.guide,
            [windows[0]._replace(weights=windows[0].weights.detach())],
            share=1.0,
            scaler=torch.amp.GradScaler(enabled=False),
            micro_batch_size=8,
            sampled=sampled,
        )
        return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in parameters]

    window = windows[0]
    with torch.no_grad():
        predictions = setup.guide.predict(window.x_t, window.model_time, window.kept.classes[None])[0]
    predictions.requires_grad_()
    window_loss(window.weights.detach(), predictions, window.target, window.kept.mask).backward()
    q = draw_probabilities(predictions.grad)
    assert len(q) == 3
    assert (q > 0.1).all()
    middles = q.cumsum(dim=0) - q / 2  # a number that draws each class
    estimates = [gradient(float(middle)) for middle in middles]
    assert not torch.allclose(estimates[0][0], estimates[1][0])
    for number, whole in enumerate(gradient(None)):
        mean = sum(weight * estimate[number] for weight, estimate in zip(q, estimates, strict=True))
        torch.testing.assert_close(mean, whole, rtol=1e-8, atol=1e-12)


def test_draw_probabilities() -> None:
    gradients = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 15.0]])
    assert draw_probabilities(gradients).tolist() == [0.25, 0, 0.75]
    assert draw_probabilities(torch.zeros(4, 2)).tolist() == [0.25] * 4
    positions, carried = sample_pairs(gradients.repeat(2, 1), [3, 3], torch.tensor([0.2, 0.25], dtype=torch.float64))
    assert positions.tolist() == [0, 5]
    assert carried.tolist() == [[12.0, 16.0], [0.0, 20.0]]  # both of norm 20, the sum of all norms


def test_half_precision_guides_learn(models: Any) -> None:
    exact, half = Setup(models), Setup(models)
    half.guide.autocast_dtype = torch.bfloat16
    for setup in (exact, half):
        setup.segmenter.float(), setup.guide.float()
        setup.method.dtype, setup.before = torch.float32, setup.state()
    images = [image.float() for image in make_images()]
    step, other = exact.update(images), half.update(images)
    assert other.stepped is True
    assert step.loss == pytest.approx(other.loss, rel=0.02)
    assert step.loss != other.loss
    movement, rough = exact.moved()[CONV_OUT], half.moved()[CONV_OUT]
    assert 0 < (movement - rough).norm() < 0.1 * movement.norm()


def test_the_update_is_that_of_autograd_in_one_piece(models: Any) -> None:
    """Windows one by one, each with its own whole graph: the mean of their losses."""
    setup, plain = Setup(models), Setup(models)
    step = setup.update()
    (generator,) = sample_generators(4, "fog/5", torch.tensor([7]))
    view = plain.segmenter.crop(make_images())
    windows, _ = plain.method.windows(view, plain.segmenter(view), generator)
    losses = []
    for window in windows:
        count = len(window.kept.classes)
        predictions = plain.guide.transformer(
            window.x_t.expand(count, -1, -1, -1), window.model_time.expand(count), window.kept.classes
        )
        combined = torch.einsum("khw,kchw->chw", window.weights[0], predictions)
        losses.append(((combined - window.target[0]) * window.kept.mask[0]).square().mean())
    loss = torch.stack(losses).mean()
    loss.backward()
    plain.optimizer.step()
    assert step.loss == pytest.approx(loss.item(), rel=1e-12)
    assert_same(setup, plain)


@pytest.mark.parametrize(("guide_learns", "segmenter_learns"), [(True, True), (True, False), (False, True)])
def test_which_models_learn(models: Any, guide_learns: bool, segmenter_learns: bool) -> None:
    setup = Setup(models, guide_learns=guide_learns, segmenter_learns=segmenter_learns)
    assert setup.update().stepped is True
    moved = {name.split(".")[0] + "." + name.split(".")[2] for name, by in setup.moved().items() if by.any()}
    expected = {"guide.unet", "guide.controlnet"} if guide_learns else set()
    assert moved == expected | ({"segmenter.model"} if segmenter_learns else set())


def test_logits_are_those_before_the_update(models: Any) -> None:
    setup = Setup(models)
    with torch.no_grad():
        expected = setup.segmenter(make_images())
    step = setup.update()
    assert step.logits.shape == (1, 6, 8, 11)
    assert torch.equal(step.logits, expected)
    with torch.no_grad():
        assert not torch.equal(setup.segmenter(make_images()), expected)


def test_a_batch_is_the_mean_of_its_images(models: Any) -> None:
    images = make_images((32, 48), (32, 48))
    together, first, second = Setup(models), Setup(models), Setup(models)
    step = together.update(images, index=(3, 9))
    one, other = first.update(images[:1], index=(3,)), second.update(images[1:], index=(9,))
    assert step.loss == pytest.approx((one.loss + other.loss) / 2, rel=1e-12)
    assert torch.equal(step.logits, torch.cat([one.logits, other.logits]))
    of_second = second.moved()
    halves = {name: (by + of_second[name]) / 2 for name, by in first.moved().items()}
    for name, movement in together.moved().items():
        torch.testing.assert_close(movement, halves[name], rtol=1e-8, atol=1e-14)
    stacked = Setup(models)
    assert stacked.update(torch.stack(images), index=(3, 9)).loss == step.loss
    assert_same(stacked, together)


def test_images_of_two_sizes_come_one_by_one(models: Any) -> None:
    setup = Setup(models)
    with pytest.raises(DataError, match=r"32 x 32 and 32 x 48 pixels after resizing; .* set data\.batch_size=1$"):
        setup.update(make_images((32, 32), (64, 96)), index=(1, 2))
    assert not any(moved.any() for moved in setup.moved().values())


def test_draws_belong_to_the_image(models: Any) -> None:
    losses = [Setup(models, time=uniform(t_min=0, t_max=1)).update(index=(index,)).loss for index in (3, 3, 4)]
    assert losses[0] == losses[1] != losses[2]


def test_a_tall_images_lower_rows_are_seen(models: Any) -> None:
    image = make_images((64, 32))
    changed = [image[0].clone()]
    changed[0][:, 60:] = 0.5
    setup, other = Setup(models, segmenter_learns=False), Setup(models, segmenter_learns=False)
    assert len(setup.method.windows(image[0][None], torch.rand(1, 6, 16, 8), torch.Generator())[0]) == 3
    assert setup.update(image).loss != other.update(changed).loss


def test_every_window_is_scaled(models: Any) -> None:
    plain, scaled = Setup(models), Setup(models, scaler=torch.amp.GradScaler("cpu", init_scale=2.0**7))
    scaled.segmenter.float(), scaled.guide.float(), plain.segmenter.float(), plain.guide.float()
    images = [image.float() for image in make_images()]
    for setup in (plain, scaled):
        setup.before = setup.state()
        setup.method.dtype = torch.float32
        assert setup.update(images).stepped is True
    moved, others = plain.moved(), scaled.moved()
    for name, movement in moved.items():
        assert (movement - others[name]).norm() <= 1e-3 * movement.norm() + 1e-7, name


def test_a_loss_that_is_no_number_skips_the_update(models: Any) -> None:
    setup = Setup(models)
    with torch.no_grad():
        setup.guide.transformer.unet.conv_out.bias[0] = math.nan
    setup.before = setup.state()
    step = setup.update()
    assert math.isnan(step.loss)
    assert step.stepped is False
    assert not any(by.nan_to_num().any() for by in setup.moved().values())


def test_no_images(models: Any) -> None:
    setup = Setup(models)
    step = setup.update([], index=())
    assert (len(step.logits), step.stepped) == (0, None)
    assert math.isnan(step.loss)
    assert not any(by.any() for by in setup.moved().values())


def test_options_that_do_not_fit(models: Any) -> None:
    with pytest.raises(ValueError, match=r"method.stride: 33 is more than the window's 32 pixels"):
        Setup(models, options=WindowDusa.Options(window=32, stride=33))
    with pytest.raises(ValueError, match=r"method.window: 40 is more than the 32 pixels"):
        Setup(models, options=WindowDusa.Options(window=40, stride=8))


def test_a_sharded_guide_is_refused(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WindowGuide, "is_sharded", True)
    with pytest.raises(ValueError, match="window_dusa cannot use a sharded guide"):
        Setup(models)
