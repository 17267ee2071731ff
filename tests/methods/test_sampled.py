"""The sampled backward: unbiased, exact for the classifier, and its draws the images' own."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from support import method_runs as toys
from support.made_methods import make_dusa_sampled, make_dusa_sharing
from support.toys import CLASSES, SEED, toy_classifier, toy_guide

from dusa_ignite.methods.candidates import candidate_weights
from dusa_ignite.methods.dusa import Dusa
from dusa_ignite.methods.dusa_u import DusaU
from dusa_ignite.methods.footprint import Footprint
from dusa_ignite.methods.losses import dusa_loss
from dusa_ignite.methods.sampled import draw_candidate, evenly_spread, predict_sampled
from dusa_ignite.models import Guide
from dusa_ignite.testing import Run
from dusa_ignite.utils.seeding import sample_generators

LOSS: dict[str, Any] = {"distance": "norm_l2", "p": 0.5, "c": 1e-3, "cosine_weight": 1.0}
CANDIDATES = torch.tensor([[0, 3, 5], [6, 1, 2]])


def inputs() -> dict[str, torch.Tensor]:
    """Noised images, their target, times and logits, of two images."""
    generator = torch.Generator().manual_seed(0)
    x_t, target = torch.randn(2, 2, 3, 8, 8, dtype=torch.float64, generator=generator)
    logits = torch.randn(2, CLASSES, dtype=torch.float64, generator=generator)
    return {"x_t": x_t, "target": target, "logits": logits, "time": torch.tensor([0.3, 0.6], dtype=torch.float64)}


def gradients(
    guide: Guide, drawn: list[int] | None, guide_weight: tuple[float, float] = (1.0, 1.0)
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The loss, and its gradients for the guide (flat; zeros where there is none) and for the logits."""
    given = inputs()
    logits = given["logits"].requires_grad_()
    arguments = given["x_t"], given["time"], CANDIDATES
    if drawn is None:
        predictions, carrier = guide.predict(*arguments), None
    else:
        predictions, carrier = predict_sampled(guide, *arguments, torch.tensor(drawn), torch.tensor(guide_weight))
        assert not predictions.requires_grad
        assert torch.count_nonzero(carrier) == 0
    loss = dusa_loss(logits, CANDIDATES, predictions, given["target"], normalise_logits=True, **LOSS, carrier=carrier)
    learning = [p for p in guide.parameters() if p.requires_grad]
    *own, of_logits = torch.autograd.grad(loss, [*learning, logits], materialize_grads=True)
    return loss.detach(), torch.cat([g.flatten() for g in own]), of_logits


def test_the_mean_over_all_draws_is_the_full_gradient() -> None:
    guide = toy_guide().double()
    loss, expected, expected_logits = gradients(guide, None)
    weights = candidate_weights(inputs()["logits"], CANDIDATES, normalise_logits=True)
    mean = torch.zeros_like(expected)
    for first in range(3):
        for second in range(3):
            value, own, of_logits = gradients(guide, [first, second])
            assert value.item() == pytest.approx(loss.item(), abs=1e-12)
            torch.testing.assert_close(of_logits, expected_logits, rtol=0, atol=1e-12)  # exact in every draw
            assert (own - expected).abs().max() > 1e-4  # and the guide's is not
            mean += weights[0, first] * weights[1, second] * own
    assert expected.abs().max() > 1e-2
    torch.testing.assert_close(mean, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("weight", [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0)])
def test_images_without_weight_carry_no_gradient(weight: tuple[float, float]) -> None:
    guide = toy_guide().double()
    loss, _, expected_logits = gradients(guide, None)
    alone = [gradients(guide, [2, 0], each)[1] for each in ((1.0, 0.0), (0.0, 1.0))]
    value, own, of_logits = gradients(guide, [2, 0], (2 * weight[0], 2 * weight[1]))
    assert value.item() == pytest.approx(loss.item(), abs=1e-12)
    torch.testing.assert_close(of_logits, expected_logits, rtol=0, atol=1e-12)
    torch.testing.assert_close(own, 2 * (weight[0] * alone[0] + weight[1] * alone[1]), rtol=0, atol=1e-12)
    torch.testing.assert_close(alone[0] + alone[1], gradients(guide, [2, 0])[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("weight", [(1.0, 1.0), (0.0, 2.0), (0.0, 0.0)])
def test_every_candidate_is_computed_once(weight: tuple[float, float], monkeypatch: pytest.MonkeyPatch) -> None:
    guide, asked = toy_guide().double(), list[tuple[bool, list[int]]]()
    predict = guide.predict

    def recording(x_t: torch.Tensor, time: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        asked.append((torch.is_grad_enabled(), classes.flatten().tolist()))
        return predict(x_t, time, classes)

    monkeypatch.setattr(guide, "predict", recording)
    predictions, _ = predict_sampled(
        guide, inputs()["x_t"], inputs()["time"], CANDIDATES, torch.tensor([1, 0]), torch.tensor(weight)
    )
    resting = [own for own, each in zip((3, 6), weight, strict=True) if not each]
    learning = [own for own, each in zip((3, 6), weight, strict=True) if each]
    assert asked == [(False, [0, 5, 1, 2, *resting]), *([(True, learning)] if learning else [])]
    expected = predict(inputs()["x_t"], inputs()["time"], CANDIDATES)
    torch.testing.assert_close(predictions, expected.detach(), rtol=0, atol=1e-12)


def test_a_candidate_is_drawn_with_its_weight() -> None:
    weights = torch.tensor([[0.5, 0.25, 0.25]]).expand(6, -1)
    uniform = torch.tensor([0.0, 0.499, 0.5, 0.749, 0.75, 0.999], dtype=torch.float64)
    assert draw_candidate(weights, uniform).tolist() == [0, 0, 1, 1, 2, 2]
    below = torch.full((1, 3), 0.3)  # rounding may leave a sum below 1
    assert draw_candidate(below, torch.tensor([0.999], dtype=torch.float64)).tolist() == [2]


def test_images_are_spread_evenly() -> None:
    assert evenly_spread(4, share=1.0, offset=0.7).tolist() == [1, 1, 1, 1]
    assert evenly_spread(8, share=0.25, offset=0.0).tolist() == [4, 0, 0, 0, 4, 0, 0, 0]
    assert evenly_spread(8, share=0.25, offset=0.9).tolist() == [0, 0, 0, 4, 0, 0, 0, 4]
    assert evenly_spread(3, share=0.1, offset=0.5).tolist() == [0, 3, 0]  # never none
    assert evenly_spread(0, share=0.5, offset=0.5).tolist() == []
    for count, share in ((5, 0.5), (7, 0.3), (32, 0.4)):
        offsets = [(i + 0.5) / 1000 for i in range(1000)]
        spread = torch.stack([evenly_spread(count, share=share, offset=offset) for offset in offsets])
        assert set((spread > 0).sum(dim=1).tolist()) == {round(share * count)}
        assert (spread.mean(dim=0) - 1).abs().max() < 0.01


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_two_updates_in_plain_torch(share: float) -> None:
    run = make_dusa_sampled(num_random=0, guide_gradient_share=share).meet(toys.CONTINUAL[:2])
    classifier, guide, velocity = toy_classifier().double(), toy_guide().double(), {}
    for step, output in zip(toys.CONTINUAL[:2], run.log, strict=True):
        batch = toys.make_batch(*step)
        logits = classifier(batch["images"].double() / 255)
        count = len(logits)
        own = sample_generators(SEED, "fog", batch["index"])
        draws = []
        for generator in own:
            t = 0.2 + 0.6 * torch.rand((), generator=generator).item()
            noise = torch.randn(3, 8, 8, generator=generator).double()
            draws.append((t, noise, *torch.rand(2, dtype=torch.float64, generator=generator).tolist()))
        number = max(1, round(share * count))
        learning = [math.floor((i + draws[0][3]) * count / number) for i in range(number)]
        losses = []
        for i, (image, z, (t, noise, u, _)) in enumerate(zip(batch["images"], logits, draws, strict=True)):
            x0 = guide.encode(image[None].double() / 255)[0]
            x_t, target, time = (1 - t) * x0 + t * noise, noise - x0, torch.tensor([t], dtype=torch.float64)
            top = z.detach().argsort(descending=True)[:2]
            w = (z / z.norm())[top].softmax(0)
            v = [guide.transformer(x_t[None], time, k[None])[0] for k in top]
            drawn = v[0] if u < w[0] else v[1]
            sampled = (drawn - drawn.detach()) * (i in learning) * count / number
            combined = w[0] * v[0].detach() + w[1] * v[1].detach() + sampled
            losses.append(((combined - target) ** 2).mean())
        loss = sum(losses) / count
        assert output["loss"] == pytest.approx(loss.item(), abs=1e-10)
        toys.assert_close(output["y_pred"], logits.detach())
        toys.sgd_step(loss, [classifier, guide.transformer], velocity)
    toys.assert_close(run.state()["classifier"], classifier.state_dict())
    toys.assert_close(run.state()["transformer"], guide.transformer.state_dict())


def test_the_classifier_learns_as_ever_where_the_guide_does_not() -> None:
    def run(**options: Any) -> Run:
        made = Run(Dusa, num_top=2, num_random=1, **options)
        for parameter in made.method.guide.parameters():
            parameter.requires_grad_(False)
        return made.meet(toys.CONTINUAL)

    expected = run()
    for options in ({}, {"guide_gradient_share": 0.4}):
        sampled = run(transformer_backward="sampled", **options)
        toys.assert_close(sampled.log, expected.log)
        toys.assert_close(sampled.state()["classifier"], expected.state()["classifier"])


@pytest.mark.parametrize("variant", [make_dusa_sampled, make_dusa_sharing])
@pytest.mark.parametrize(
    "check",
    [
        toys.check_micro_batches,
        toys.check_reset,
        toys.check_resume,
        toys.check_empty,
        toys.check_not_finite,
        toys.check_without_learning,
    ],
)
def test_contract(check: Any, variant: Any) -> None:
    check(variant)


def test_impossible_options() -> None:
    (one,) = Dusa.Options(num_top=1, num_random=0, transformer_backward="sampled").problems(num_classes=CLASSES)
    assert one.keys == ("method.transformer_backward", "method.num_top", "method.num_random")
    assert one.text == "sampled needs at least two candidates: num_top + num_random >= 2"
    (share,) = Dusa.Options(guide_gradient_share=0.5).problems(num_classes=CLASSES)
    assert share.keys == ("method.guide_gradient_share", "method.transformer_backward")
    assert share.text == "0.5 needs method.transformer_backward=sampled"
    (u,) = DusaU.Options(transformer_backward="sampled", guide_gradient_share=0.5).problems(num_classes=CLASSES)
    assert u.text.startswith("sampled has no meaning for dusa_u: no candidate carries its transformer's gradient")
    for value in (0, 1.5):
        with pytest.raises(ValueError, match="guide_gradient_share"):
            Dusa.Options(transformer_backward="sampled", guide_gradient_share=value)


def test_footprint() -> None:
    options = {"num_top": 4, "num_random": 2, "transformer_backward": "sampled"}
    assert Dusa.footprint(Dusa.Options(**options)) == Footprint(guide_passes=1, guide_passes_alone=5)
    expected = Footprint(guide_passes=1, guide_share=0.25, guide_passes_alone=6)
    assert Dusa.footprint(Dusa.Options(**options, guide_gradient_share=0.25)) == expected
