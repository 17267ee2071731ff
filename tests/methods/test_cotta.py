"""CoTTA: the teacher, the augmentations, what is restored, and whole updates in plain torch."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from support import method_runs as toys
from support.made_methods import AVERAGING
from support.made_methods import make_averaging_cotta as make_averaging
from support.made_methods import make_cotta as make
from support.toys import SEED, assert_identical, toy_classifier
from torch._subclasses.fake_tensor import FakeTensorMode

from dusa_ignite.handlers import TaskReset
from dusa_ignite.methods.augmentations import augment
from dusa_ignite.methods.cotta import Cotta, restore
from dusa_ignite.methods.losses import symmetric_cross_entropy
from dusa_ignite.utils.seeding import numpy_generator, sample_generators


def test_symmetric_cross_entropy_by_hand() -> None:
    p, q = torch.tensor([[0.5, 0.5]], dtype=torch.float64), torch.tensor([[0.8, 0.2]], dtype=torch.float64)
    expected = -(0.8 * p.log()[0, 0] + 0.2 * p.log()[0, 1]) / 2 - 0.5 * q.log().sum() / 2
    assert symmetric_cross_entropy(p.log(), q.log()).item() == pytest.approx(expected.item(), abs=1e-15)
    assert symmetric_cross_entropy(1e4 * p.log(), 1e4 * q.log()).isfinite().all()


@pytest.mark.parametrize("averaging", [False, True])
def test_two_updates_in_plain_torch(averaging: bool) -> None:
    run = make(**(AVERAGING if averaging else {"confidence_threshold": 0.0})).meet(toys.CONTINUAL[:2])
    student, teacher, source = (toy_classifier().double() for _ in range(3))
    velocity: dict[str, torch.Tensor] = {}
    for number, (step, output) in enumerate(zip(toys.CONTINUAL[:2], run.log, strict=True), start=1):
        batch = toys.make_batch(*step)
        images = batch["images"].double() / 255
        with torch.no_grad():
            pseudo = teacher(images)
            if averaging:
                own = sample_generators(SEED, "fog", batch["index"])
                pseudo = sum(teacher(augment(images, own)) for _ in range(2)) / 2  # type: ignore[assignment]
            confidence = source(images).softmax(1).max(1).values.mean()
        y, t = student(images).log_softmax(1), pseudo.log_softmax(1)
        loss = -(0.5 * (t.exp() * y).sum(1) + 0.5 * (y.exp() * t).sum(1)).mean()
        named = dict(student.named_parameters())
        gradients = torch.autograd.grad(loss, list(named.values()))
        draws = numpy_generator(SEED, "fog", "restore", number)
        with torch.no_grad():
            for (name, p), g in zip(named.items(), gradients, strict=True):
                velocity[name] = 0.9 * velocity.get(name, 0) + g + 0.01 * p
                p -= toys.LR * velocity[name]
                average = teacher.get_parameter(name)
                average.copy_(0.9 * average + 0.1 * p)
                count = draws.binomial(p.numel(), 0.2)
                for place in draws.choice(p.numel(), count, replace=False, shuffle=False).tolist():
                    p.view(-1)[place] = source.get_parameter(name).view(-1)[place]
        toys.assert_close(output["y_pred"], pseudo)
        assert output["loss"] == pytest.approx(loss.item(), abs=1e-10)
        assert output["diagnostics"]["confidence"] == pytest.approx(confidence.item(), abs=1e-10)
        assert output["diagnostics"]["augmented"] == averaging
    toys.assert_close(run.state()["classifier"], student.state_dict())
    toys.assert_close(run.state()["method"]["teacher"], teacher.state_dict())


def restored(probability: float, *key: int) -> torch.Tensor:
    """Which elements of a changed classifier's parameters came back, all in one row; the others stayed."""
    student, source = toy_classifier(), toy_classifier()
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += 1
    before = {name: p.clone() for name, p in student.named_parameters()}
    restore(student, source, probability=probability, key=key)
    back = torch.cat([(p == source.get_parameter(name)).flatten() for name, p in student.named_parameters()])
    kept = torch.cat([(p == before[name]).flatten() for name, p in student.named_parameters()])
    assert (back ^ kept).all()
    return back


def test_every_element_is_restored_with_the_same_probability() -> None:
    assert not restored(0.0, 1).any()
    assert restored(1.0, 1).all()
    count = len(restored(0.25, 1))  # 207,583 elements: the share's standard deviation is 0.001
    for probability in (0.001, 0.25):
        deviation = (probability * (1 - probability) / count) ** 0.5
        for part in restored(probability, 1).double().chunk(3):  # wherever they are
            assert part.mean().item() == pytest.approx(probability, abs=4 * 3**0.5 * deviation)
    shares = torch.stack([restored(0.001, number).double().sum() for number in range(50)])
    assert shares.std().item() == pytest.approx((0.001 * 0.999 * count) ** 0.5, rel=0.35)  # their number varies as well


def test_equal_keys_restore_the_same_elements() -> None:
    assert torch.equal(restored(0.25, 1), restored(0.25, 1))
    assert not torch.equal(restored(0.25, 1), restored(0.25, 2))


def test_frozen_parameters_are_not_restored() -> None:
    student, source = toy_classifier("test_resnet", trainable="norm"), toy_classifier("test_resnet")
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += 1
    restore(student, source, probability=1.0, key=(1,))
    for name, parameter in student.named_parameters():
        assert torch.equal(parameter, source.get_parameter(name)) == parameter.requires_grad, name


def test_augmentations_act_on_images_that_are_not_normalised() -> None:
    run, seen = make_averaging(), []
    handle = run.method.teacher.classifier.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    run.meet(toys.CONTINUAL[:1])
    handle.remove()
    given = torch.cat(seen)
    assert len(given) == 2 * 5
    assert given.min() >= 0
    assert given.max() <= 1
    view = run.classifier.crop(toys.make_batch("fog", 0, 5)["images"].double() / 255)
    assert (given.mean() - view.mean()).abs() < 0.15  # a normalised image's mean would be near 0 or clipped


def test_a_reset_keeps_no_other_teacher_on_the_device() -> None:
    class Teaching:
        def state_dict(self) -> dict[str, Any]:
            return {"teacher": {"weight": torch.ones(2, device="cuda")}, "bank": [torch.ones(1, device="cuda"), "fog"]}

    with FakeTensorMode():  # which has a GPU everywhere
        snapshot = TaskReset({"method": Teaching()}).snapshot["method"]
    assert [snapshot["teacher"]["weight"].device.type, snapshot["bank"][0].device.type] == ["cpu", "cpu"]
    assert snapshot["bank"][1] == "fog"


def test_a_reset_shares_nothing_with_the_teacher() -> None:
    run = make()
    reset = TaskReset(run.stateful)
    kept = copy.deepcopy(reset.snapshot["method"])
    for _ in range(2):
        run.meet(toys.CONTINUAL[:2])
        assert_identical(reset.snapshot["method"], kept)
        reset.reset()
        assert_identical(run.method.state_dict(), kept)


def test_what_is_published() -> None:
    defaults = {name: field.default for name, field in Cotta.Options.model_fields.items()}
    expected = {"num_augmentations": 32, "confidence_threshold": 0.1, "teacher_decay": 0.999}
    assert {name: defaults[name] for name in expected} == expected
    assert defaults["restore_probability"] == 0.001


def test_batches_of_one() -> None:
    assert make_averaging().meet([("fog", 3, 1)]).log[0]["y_pred"].isfinite().all()


def test_without_learning_the_teacher_is_the_source() -> None:
    toys.check_without_learning(lambda **options: make(confidence_threshold=0.0, **options))


@pytest.mark.parametrize("variant", [make, make_averaging])
@pytest.mark.parametrize(
    "check", [toys.check_micro_batches, toys.check_reset, toys.check_resume, toys.check_empty, toys.check_not_finite]
)
def test_contract(check: Any, variant: Any) -> None:
    check(variant)
