"""DUSA: whole updates against plain torch, and what they must not depend on."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from support.dusa_setup import (
    CLASSES,
    SEED,
    TASK,
    LinearClassifier,
    Setup,
    changed,
    make_batch,
    make_classifier,
    make_guide,
)

from dusa_ignite.engine import Output
from dusa_ignite.models import Guide
from dusa_ignite.models.norms import norm_parameters
from dusa_ignite.utils.seeding import sample_generators


def plain_loss(classifier: LinearClassifier, guide: Guide, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits and the loss of a batch in plain torch, image by image."""
    transformer = guide.transformer
    images = batch["images"].double() / 255
    own = sample_generators(SEED, batch["task"], batch["index"])
    losses, logits = [], classifier(images)
    for image, z, generator in zip(images, logits, own, strict=True):
        t = 0.2 + 0.6 * torch.rand((), generator=generator).item()
        noise = torch.randn(3, 16, 16, generator=generator).double()
        gumbel = -torch.empty(CLASSES, dtype=torch.float64).exponential_(generator=generator).log()
        order = z.detach().argsort(descending=True).tolist()
        rest = sorted(order[2:], key=lambda k, z=z, g=gumbel: -(z[k] + g[k]).item())
        candidates = torch.tensor(order[:2] + rest[:2])
        x0 = image * 2 - 1
        x_t, target = (1 - t) * x0 + t * noise, noise - x0
        v = transformer(x_t.expand(4, -1, -1, -1), torch.full((4,), t, dtype=torch.float64), candidates)
        w = (z / z.norm())[candidates].exp()
        v = (v * (w / w.sum())[:, None, None, None]).sum(dim=0)
        e = ((v - target) ** 2).mean()
        cosine = (v * target).sum() / (v.norm() * target.norm())
        losses.append(e / (e.detach() + 1e-3) ** 0.5 + 1 - cosine)
    return logits, torch.stack(losses).mean()


def test_two_updates_equal_plain_torch() -> None:
    torch.manual_seed(0)
    setup = Setup(LinearClassifier().double(), make_guide().double(), lr=1e-3, guide_lr=5e-4)
    classifier, guide = copy.deepcopy(setup.classifier), copy.deepcopy(setup.guide)
    rates = {p: lr for model, lr in ((classifier, 1e-3), (guide, 5e-4)) for p in model.parameters() if p.requires_grad}
    moments: dict[torch.Tensor, list[Any]] = {p: [0, 0] for p in rates}
    before = setup.state()
    for step, batch in enumerate((make_batch(5), {**make_batch(3), "task": "fog/5"}), start=1):
        output = setup.update(batch, micro_batch_size=2)
        logits, loss = plain_loss(classifier, guide, batch)
        with torch.no_grad():
            for p, g in zip(rates, torch.autograd.grad(loss, list(rates)), strict=True):
                moments[p] = m, v = [0.9 * moments[p][0] + 0.1 * g, 0.999 * moments[p][1] + 0.001 * g**2]
                p -= rates[p] * m / (1 - 0.9**step) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
        torch.testing.assert_close(output["y_pred"], logits.detach(), rtol=0, atol=1e-12)
        assert output["loss"] == pytest.approx(loss.item(), abs=1e-12)
        for ours, plain in ((setup.classifier, classifier), (setup.guide, guide)):
            for name, value in plain.state_dict().items():
                torch.testing.assert_close(ours.state_dict()[name], value, rtol=0, atol=1e-11, msg=name)
        assert torch.equal(output["y"], batch["labels"])
        assert not output["y_pred"].requires_grad
        assert output["diagnostics"]["skipped_update"] == 0
        names = {"loss_top_0", "loss_top_1", "loss_rand_0", "loss_rand_1", "auc", "auc_std", "gap_norm"}
        assert output["diagnostics"].keys() == names | {"skipped_update"}
        assert all(parameter.grad is None for parameter in setup.classifier.parameters())
    unchanged = before.keys() - changed(before, setup.state())
    assert unchanged == {"guide.transformer.pos_embed", "guide.transformer.y_embedder.embedding_table.weight"}


def test_predictions_are_from_before_the_update() -> None:
    setup, batch = Setup(make_classifier("test_convnext"), make_guide(), lr=0.1), make_batch(4)
    before = setup.classifier(batch["images"] / 255).detach()
    torch.testing.assert_close(setup.update(batch)["y_pred"], before, rtol=0, atol=1e-5)
    assert (setup.classifier(batch["images"] / 255) - before).abs().max() > 0.01


@pytest.mark.parametrize(
    ("name", "batch_norm"),
    [("test_vit", "batch"), ("test_convnext", "batch"), ("test_resnet", "batch"), ("test_resnet", "source")],
)
def test_micro_batches_do_not_change_the_update(name: str, batch_norm: str) -> None:
    def run(micro_batch_size: int) -> tuple[list[Output], dict[str, torch.Tensor]]:
        classifier = make_classifier(name, batch_norm=batch_norm).double()
        setup = Setup(classifier, make_guide().double(), lr=1e-4)
        outputs = [setup.update(make_batch(8), micro_batch_size=micro_batch_size) for _ in range(2)]
        return outputs, setup.state()

    whole_outputs, whole = run(8)
    assert changed(Setup(make_classifier(name).double(), make_guide().double()).state(), whole)
    for micro_batch_size in (1, 3):
        outputs, state = run(micro_batch_size)
        for output, expected in zip(outputs, whole_outputs, strict=True):
            torch.testing.assert_close(output["y_pred"], expected["y_pred"], rtol=0, atol=1e-12)
            assert output["loss"] == pytest.approx(expected["loss"], abs=1e-12)
            assert output["diagnostics"] == pytest.approx(expected["diagnostics"], abs=1e-10)
        for key, value in whole.items():
            torch.testing.assert_close(state[key], value, rtol=0, atol=1e-12, msg=key)


def test_draws_depend_on_the_samples_position_not_on_its_place_in_the_batch() -> None:
    def loss_of(rows: list[int]) -> float:
        setup, batch = Setup(LinearClassifier().double(), make_guide().double()), make_batch(4)
        torch.manual_seed(0)
        setup.classifier.linear.reset_parameters()
        return setup.update({key: value if key == "task" else value[rows] for key, value in batch.items()})["loss"]

    single = [loss_of([row]) for row in range(4)]
    assert len({round(value, 9) for value in single}) == 4
    assert loss_of([2, 0, 3, 1]) == pytest.approx(sum(single) / 4, abs=1e-12)


def test_norm_training_changes_norm_parameters_alone() -> None:
    setup = Setup(make_classifier("test_resnet", trainable="norm"), make_guide(trainable=False))
    before = setup.state()
    for _ in range(2):  # the residual branches' last gains start at zero, and hide what comes before them
        setup.update(make_batch(4, side=32))
    expected = {f"classifier.{name}" for name in norm_parameters(setup.classifier)}
    assert changed(before, setup.state()) == expected


def test_a_frozen_transformer_stays() -> None:
    setup = Setup(make_classifier("test_convnext"), make_guide(trainable=False))
    before = setup.state()
    setup.update(make_batch(4), micro_batch_size=3)
    after = changed(before, setup.state())
    assert after
    assert all(name.startswith("classifier.") for name in after)


def test_a_frozen_classifier_stays() -> None:
    setup = Setup(make_classifier("test_convnext", trainable="none"), make_guide())
    before = setup.state()
    setup.update(make_batch(4), micro_batch_size=3)
    after = changed(before, setup.state())
    assert after
    assert all(name.startswith("guide.transformer.") for name in after)


def test_images_of_mixed_sizes() -> None:
    batch = make_batch(3, side=40)
    batch["images"] = [batch["images"][0], batch["images"][1, :, :20], batch["images"][2, :, 3:19, :16]]
    setup = Setup(make_classifier("test_convnext").double(), make_guide().double())
    expected = torch.cat([setup.classifier([image.double() / 255]) for image in batch["images"]]).detach()
    before = setup.state()
    output = setup.update(batch, micro_batch_size=2)
    torch.testing.assert_close(output["y_pred"], expected, rtol=0, atol=1e-12)
    assert math.isfinite(output["loss"])
    assert changed(before, setup.state())


def test_an_empty_batch_changes_nothing() -> None:
    setup = Setup(make_classifier("test_resnet"), make_guide())
    before = setup.state()
    output = setup.update({**make_batch(0), "images": torch.empty(0, 3, 1, 1, dtype=torch.uint8)})
    assert output["y_pred"].shape == (0, CLASSES)
    assert output["y"].shape == (0,)
    assert math.isnan(output["loss"])
    assert output["diagnostics"]["skipped_update"] == 0  # there was nothing to learn from
    assert changed(before, setup.state()) == set()
    assert setup.optimizer.state_dict()["state"] == {}


def test_diagnostics_rate_each_candidates_own_prediction() -> None:
    torch.manual_seed(0)
    setup, batch = Setup(LinearClassifier().double(), make_guide().double()), make_batch(2)
    top = setup.classifier(batch["images"].double() / 255).argmax(dim=1)
    expected = []
    for image, own, label in zip(batch["images"], sample_generators(SEED, TASK, batch["index"]), top, strict=True):
        x0, t = image.double() / 127.5 - 1, 0.2 + 0.6 * torch.rand((), generator=own).double()
        z = torch.randn(3, 16, 16, generator=own).double()
        v = setup.guide.transformer(((1 - t) * x0 + t * z)[None], t[None], label[None])[0]
        expected.append((v - (z - x0)).square().mean().item())
    assert setup.update(batch)["diagnostics"]["loss_top_0"] == pytest.approx(sum(expected) / 2, abs=1e-9)
