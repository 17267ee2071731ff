"""The guide: images to latents, and one prediction per candidate class; golden updates of the original code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.files import load_golden, split_golden
from torch import nn

from dusa_ignite.methods.diagnostics import guidance_diagnostics
from dusa_ignite.methods.losses import Loss, dusa_loss
from dusa_ignite.models import Guide, load_transformer
from dusa_ignite.models.guides import find_family
from dusa_ignite.models.guides.paths import ddpm, linear

DEFAULTS = {"normalise_logits": True, **Loss().model_dump()}


class Affine(nn.Module):
    """Predicts x + 10 t + 100 y, and keeps what it was given."""

    def forward(self, x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        self.given = x, t, y
        return x + (10 * t + 100 * y)[:, None, None, None]


def make_guide(transformer: nn.Module, **kwargs: Any) -> Guide:
    return Guide(transformer, path=linear, image_size=2, **kwargs)


def test_pixel_space_is_the_view_itself() -> None:
    images = torch.tensor([0.0, 0.25, 0.75, 1.0]).reshape(1, 1, 2, 2).expand(1, 3, 2, 2)
    x0 = make_guide(Affine()).encode(images)
    assert x0[0, 0].tolist() == [[-1.0, -0.5], [0.5, 1.0]]
    assert x0.shape == (1, *make_guide(Affine()).latent_shape) == (1, 3, 2, 2)


def test_encoding_carries_no_gradient() -> None:
    images = torch.rand(1, 3, 2, 2, requires_grad=True)
    assert not make_guide(Affine()).encode(images).requires_grad


def test_each_image_meets_each_of_its_candidates() -> None:
    x_t = torch.arange(2.0)[:, None, None, None].expand(2, 3, 2, 2)
    classes = torch.tensor([[1, 2, 3], [4, 5, 6]])
    predictions = make_guide(Affine()).predict(x_t, torch.tensor([0.0, 0.5]), classes)
    assert predictions.shape == (2, 3, 3, 2, 2)
    assert predictions[:, :, 0, 0, 0].tolist() == [[100, 200, 300], [1 + 5 + 400, 1 + 5 + 500, 1 + 5 + 600]]


def test_autocast_runs_the_transformer_in_half_precision() -> None:
    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            self.output = self.layer(x)
            return self.output

    transformer = Linear()
    guide = make_guide(transformer, autocast_dtype=torch.bfloat16)
    predictions = guide.predict(torch.rand(1, 3, 2, 2), torch.zeros(1), torch.zeros(1, 2, dtype=torch.int64))
    assert transformer.output.dtype == torch.bfloat16
    assert predictions.dtype == torch.float32
    assert transformer.layer.weight.dtype == torch.float32


def assert_relative(actual: torch.Tensor | None, expected: torch.Tensor, tolerance: float) -> None:
    """The largest difference against the largest expected value."""
    assert actual is not None
    difference = (actual.double() - expected.double()).abs().max() / expected.double().abs().max()
    assert difference <= tolerance, f"{difference:.2e} > {tolerance}"


def golden_update(
    name: str, family: str, folder: Path, *, t: torch.Tensor | None, **loss: Any
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], torch.Tensor]:
    """A golden step, what ours makes of the same inputs in float64, and the candidates' own errors (B, K)."""
    golden, _ = load_golden(name)
    weights, _, sizes = split_golden(f"{family}_tiny")
    save_file(weights, folder / "weights.safetensors")
    transformer = load_transformer(str(folder / "weights.safetensors"), family=family, **sizes)
    kind = find_family(family)
    guide = Guide(transformer, path=kind.paths[kind.default_path], image_size=8).double()

    x0, noise = golden["latents"].double(), golden["noise"].double()
    logits = golden["logits"].double().requires_grad_()
    times = torch.full((3,), 0.1) if t is None else t
    x_t, target, model_time = guide.path(x0, noise, times.double())
    predictions = guide.predict(x_t, model_time, golden["classes"])
    value = dusa_loss(logits, golden["classes"], predictions, target, **{**DEFAULTS, **loss})
    value.backward()
    grads = {key: parameter.grad for key, parameter in transformer.named_parameters()}
    ours = {"x_t": x_t, "time": model_time, "loss": value.detach(), "grad_logits": logits.grad, **grads}
    errors = (predictions.detach() - target[:, None]).square().mean(dim=(2, 3, 4))
    return golden, ours, errors  # type: ignore[return-value]


def assert_golden_gradients(golden: dict[str, torch.Tensor], ours: dict[str, torch.Tensor]) -> None:
    assert_relative(ours["loss"], golden["loss"], 1e-5)
    assert_relative(ours["blocks.0.attn.qkv.weight"], golden["grad_block0_qkv_weight"], 1e-5)
    assert_relative(ours["final_layer.linear.weight"], golden["grad_final_linear_weight"], 1e-5)
    assert_relative(ours["grad_logits"], golden["grad_logits"], 1e-4)
    assert ours["y_embedder.embedding_table.weight"] is None
    assert ours["pos_embed"] is None


def test_golden_step_of_the_paper(tmp_path: Path) -> None:
    golden, ours, _ = golden_update("dusa_step", "dit", tmp_path, t=None, distance="mse")
    assert ours["time"].tolist() == [100, 100, 100]
    assert_relative(ours["x_t"], golden["noised_latents"], 1e-6)
    assert golden["loss"].item() == pytest.approx(1.2792, abs=1e-4)
    assert_golden_gradients(golden, ours)


def test_golden_step_of_the_flow_variant(tmp_path: Path) -> None:
    t = load_golden("flow_step")[0]["t"]
    golden, ours, errors = golden_update(
        "flow_step", "repa", tmp_path, t=t, distance="norm_l2", p=0.5, c=1e-3, cosine_weight=1.0
    )
    assert golden["loss"].item() == pytest.approx(2.5838, abs=1e-4)
    assert_golden_gradients(golden, ours)

    diagnostics = guidance_diagnostics(errors, num_top=4, total=3)
    auxiliary = {key.removeprefix("aux."): value.item() for key, value in golden.items() if key.startswith("aux.")}
    assert diagnostics.keys() - auxiliary.keys() == {"auc_std"}
    for key, value in auxiliary.items():
        assert diagnostics[key] == pytest.approx(value, rel=1e-3 if key == "gap_norm" else 1e-5), key
    assert diagnostics["auc"] == pytest.approx(0.5417, abs=1e-4)
    assert diagnostics["gap_norm"] == pytest.approx(0.4972, abs=1e-4)


def test_golden_gradients_in_float32(tmp_path: Path) -> None:
    golden, _ = load_golden("dusa_step")
    weights, _, sizes = split_golden("dit_tiny")
    save_file(weights, tmp_path / "weights.safetensors")
    transformer = load_transformer(str(tmp_path / "weights.safetensors"), family="dit", **sizes)
    guide = Guide(transformer, path=ddpm, image_size=8)
    x_t, target, model_time = guide.path(golden["latents"], golden["noise"], torch.full((3,), 0.1))
    logits = golden["logits"].clone().requires_grad_()
    predictions = guide.predict(x_t, model_time, golden["classes"])
    dusa_loss(logits, golden["classes"], predictions, target, **DEFAULTS).backward()
    assert_relative(transformer.blocks[0].attn.qkv.weight.grad, golden["grad_block0_qkv_weight"], 1e-5)
    assert_relative(logits.grad, golden["grad_logits"], 1e-4)
