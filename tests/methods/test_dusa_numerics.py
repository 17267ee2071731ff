"""DUSA where numbers are not finite or not of full precision: updates that are left out, scaled losses, casts, GPUs."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from support.dusa_setup import LinearClassifier, Setup, changed, make_batch, make_classifier, make_guide
from torch.utils._python_dispatch import TorchDispatchMode

from dusa_ignite.engine import Output
from dusa_ignite.methods.dusa import Dusa
from dusa_ignite.methods.dusa_u import DusaU


@pytest.mark.parametrize("micro_batch_size", [1, 8])
def test_a_loss_that_is_no_number_skips_the_update(micro_batch_size: int) -> None:
    setup = Setup(LinearClassifier(), make_guide())
    setup.update(make_batch(4))
    with torch.no_grad():
        setup.guide.transformer.final_layer.linear.bias[0] = math.nan  # type: ignore[union-attr, operator]
    before, moments = setup.state(), copy.deepcopy(setup.optimizer.state_dict()["state"])
    output = setup.update(make_batch(4), micro_batch_size=micro_batch_size)
    assert math.isnan(output["loss"])
    assert output["diagnostics"]["skipped_update"] == 1
    assert output["y_pred"].isfinite().all()
    after = setup.state()
    assert all(before[key].equal(after[key]) or before[key].isnan().any() for key in before)
    kept = setup.optimizer.state_dict()["state"]
    assert all(torch.equal(kept[i][key], moments[i][key]) for i in moments for key in moments[i])
    assert all(parameter.grad is None for parameter in setup.optimizer.param_groups[0]["params"])


def test_an_infinite_gradient_under_a_finite_loss_skips_the_update() -> None:
    setup = Setup(LinearClassifier(), make_guide())
    handle = setup.classifier.linear.bias.register_hook(lambda gradient: gradient * math.inf)
    before = setup.state()
    output = setup.update(make_batch(4))
    assert math.isfinite(output["loss"])
    assert output["diagnostics"]["skipped_update"] == 1
    assert changed(before, setup.state()) == set()
    handle.remove()
    assert setup.update(make_batch(4))["diagnostics"]["skipped_update"] == 0
    assert changed(before, setup.state())


def test_float16_overflow_skips_the_update_and_lowers_the_scale() -> None:
    setup = Setup(LinearClassifier(), make_guide(autocast_dtype=torch.float16))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40, backoff_factor=2.0**-30)
    before = setup.state()
    output = setup.update(make_batch(4), scaler=scaler)
    assert math.isfinite(output["loss"])
    assert output["diagnostics"]["skipped_update"] == 1
    assert scaler.get_scale() == 2**10
    assert changed(before, setup.state()) == set()
    assert setup.update(make_batch(4), scaler=scaler)["diagnostics"]["skipped_update"] == 0
    assert scaler.get_scale() == 2**10
    assert changed(before, setup.state())


class Casts(TorchDispatchMode):
    """Counts how often a tensor is brought to bfloat16."""

    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        self.shape, self.count = shape, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func.name() == "aten::_to_copy" and output.dtype == torch.bfloat16 and output.shape == self.shape:
            self.count += 1
        return output


@pytest.mark.parametrize(("method", "expected"), [(Dusa, 1), (DusaU, 1 + 3)])  # in dusa_u, 3 passes have no graph
def test_weights_are_cast_once_for_all_micro_batches(method: type[Dusa], expected: int) -> None:
    setup = Setup(LinearClassifier(), make_guide(autocast_dtype=torch.bfloat16))
    before = setup.state()
    with Casts(setup.guide.transformer.blocks[0].attn.qkv.weight.shape) as casts:  # type: ignore[union-attr, index]
        setup.update(make_batch(6), micro_batch_size=2, method=method)
    assert casts.count == expected
    assert "guide.transformer.blocks.0.attn.qkv.weight" in changed(before, setup.state())
    with Casts(casts.shape) as casts:
        setup.update(make_batch(6), micro_batch_size=2, method=method)
    assert casts.count == expected  # after the step they are others


def test_a_scaled_loss_makes_the_same_update() -> None:
    def run(scaler: torch.amp.GradScaler | None) -> tuple[float, dict[str, torch.Tensor]]:
        torch.manual_seed(0)
        setup = Setup(LinearClassifier().double(), make_guide().double())
        return setup.update(make_batch(4), scaler=scaler)["loss"], setup.state()

    plain_loss, plain = run(None)
    scaled_loss, scaled = run(torch.amp.GradScaler("cpu", init_scale=1024.0))
    assert scaled_loss == plain_loss
    for key, value in plain.items():
        torch.testing.assert_close(scaled[key], value, rtol=0, atol=1e-12, msg=key)


# GPU

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.gpu
@needs_cuda
def test_bfloat16_update_on_a_gpu_is_finite() -> None:
    classifier = make_classifier("test_convnext").cuda()
    setup = Setup(classifier, make_guide(autocast_dtype=torch.bfloat16).cuda())
    before = setup.state()
    output = setup.update(make_batch(8), micro_batch_size=3)
    assert output["diagnostics"]["skipped_update"] == 0
    assert math.isfinite(output["loss"])
    assert output["y_pred"].dtype == torch.float32
    assert output["y_pred"].is_cuda
    assert output["y"].is_cuda
    after = setup.state()
    assert changed(before, after)
    assert all(value.isfinite().all() for value in after.values())


@pytest.mark.gpu
@needs_cuda
def test_float64_updates_on_gpu_and_cpu_agree() -> None:
    def run(device: str) -> list[Output]:
        classifier = make_classifier("test_convnext").to(device, torch.float64)
        setup = Setup(classifier, make_guide().to(device, torch.float64), lr=1e-4)
        return [setup.update(make_batch(8), micro_batch_size=3) for _ in range(3)]

    for ours, expected in zip(run("cuda"), run("cpu"), strict=True):
        torch.testing.assert_close(ours["y_pred"].cpu(), expected["y_pred"], rtol=0, atol=1e-9)
        assert ours["loss"] == pytest.approx(expected["loss"], abs=1e-9)
