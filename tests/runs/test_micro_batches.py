"""``data.micro_batch_size: auto``, and the other options of speed, in the config and in runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import pytest
import torch
from support.files import CONFIGS

from dusa_ignite.config import load_config
from dusa_ignite.errors import ConfigError
from dusa_ignite.models.precision import autocast_dtype
from dusa_ignite.runs import assemble_models, memory, micro_batches
from dusa_ignite.runs.adapt import adapt
from dusa_ignite.runs.assemble_models import micro_batch_size_of
from dusa_ignite.runs.memory import Memory, Need
from dusa_ignite.runs.micro_batches import resolved, sizes_of
from dusa_ignite.runs.numerics import set_up_torch

QUICK = ("data.clean_root=null", "data.limit=16", "data.batch_size=8", "data.corruptions=[fog]", "run.num_threads=1")


def digits(*overrides: str) -> Any:
    return load_config(CONFIGS / "digits.yaml", [*QUICK, *overrides])


def test_sizes_cut_a_share_into_equal_pieces() -> None:
    assert sizes_of(64) == [64, 32, 16, 8, 4, 2, 1]
    assert sizes_of(25) == [25, 13, 7, 4, 2, 1]
    assert sizes_of(1) == [1]


@pytest.mark.parametrize(("free", "expected"), [(6400, 32), (7112, 64), (1000, 8), (112, 1), (10, 1)])
def test_the_largest_size_that_fits(free: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image takes 100 bytes, and nine tenths of the free ones may be used."""

    def estimate(config: Any, **_: Any) -> Memory:
        return Memory((Need("on the CPU", {"activations": 100 * micro_batch_size_of(config)}, free),))

    monkeypatch.setattr(micro_batches, "memory_of", estimate)
    assert micro_batch_size_of(resolved(digits("data.batch_size=64", "data.micro_batch_size=auto"))) == expected


def test_a_number_stays_and_a_recorded_one_counts() -> None:
    config = digits("data.micro_batch_size=3")
    assert resolved(config, recorded=5) is config
    assert micro_batch_size_of(resolved(digits("data.micro_batch_size=auto"), recorded=5)) == 5
    with pytest.raises(ValueError, match=r"^data\.micro_batch_size is auto"):
        micro_batch_size_of(digits("data.micro_batch_size=auto"))


def test_what_cannot_be_estimated_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: None)
    with pytest.raises(ConfigError, match=r"^data\.micro_batch_size: auto cannot be found without the free memory, .*"):
        resolved(digits("data.micro_batch_size=auto"))


def test_a_run_records_the_size_and_has_the_same_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for size in ("auto", "8"):
        adapt(0, digits(f"output_dir={tmp_path / size}", f"data.micro_batch_size={size}"), False)
        folder = tmp_path / size / "digits"
        described = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        assert described["micro_batch_size"] == 8
        assert (described["tf32"], described["compile"], described["classifier_precision"]) == (False, "off", "float32")
        results.append((folder / "metrics.jsonl").read_text(encoding="utf-8").split('"top1"')[1].split(",")[0])
    assert results[0] == results[1]
    (tmp_path / "auto" / "digits" / "summary.json").unlink()  # as if it had been cut off
    monkeypatch.setattr(micro_batches, "largest", None)  # it is not searched for again
    adapt(0, digits(f"output_dir={tmp_path / 'auto'}", "data.micro_batch_size=auto", "resume=auto"), False)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ("classifier.precision=bfloat16", "run.precision=float64"),
            "classifier.precision: 'bfloat16' is not allowed; allowed: float32, as run.precision=float64",
        ),
        (("classifier.precision=float16", "method.name=tent"), "classifier.precision: 'float16' is not allowed"),
        (("run.compile=blocks", "distributed.strategy=fsdp"), "run.compile: 'blocks' is not allowed; allowed: off"),
        (
            ("run.precision=float16", "distributed.strategy=fsdp"),
            "run.precision: 'float16' is not allowed; allowed: float32 | bfloat16, as the loss would be scaled",
        ),
        (
            ("classifier.precision=float16", "distributed.strategy=fsdp"),
            "classifier.precision: 'float16' is not allowed; allowed: float32 | bfloat16, as the loss would be scaled",
        ),
        (("data.micro_batch_size=0",), "data.micro_batch_size"),
        (("data.micro_batch_size=most",), "data.micro_batch_size"),
    ],
)
def test_what_does_not_go_together(overrides: tuple[str, ...], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        digits(*overrides)
    assert line in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_tf32_is_torchs_switch() -> None:
    before = torch.backends.cudnn.allow_tf32
    for tf32, expected in ((True, "high"), (False, "highest")):
        set_up_torch(seed=0, deterministic=torch.are_deterministic_algorithms_enabled(), num_threads=None, tf32=tf32)
        assert torch.get_float32_matmul_precision() == expected
    assert before or torch.backends.cudnn.allow_tf32


def test_auto_takes_half_precision_where_the_gpu_has_it_in_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    assert autocast_dtype("auto") is None  # on the CPU
    monkeypatch.setattr(idist, "device", lambda: torch.device("cuda"))
    for in_hardware, expected in ((True, torch.bfloat16), (False, None)):
        supported = lambda including_emulation=True, has=in_hardware: has or including_emulation  # noqa: E731
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
        assert autocast_dtype("auto") is expected


def test_without_a_compiler_the_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("Failed to find C compiler.\nmore")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(
        ConfigError, match=r"^run.compile: blocks needs torch.compile.*\(Failed to find C compiler\.\); set"
    ):
        assemble_models.compile_models(digits("run.compile=blocks"), None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_digits_in_half_precision_on_a_cpu(tmp_path: Path, precision: str) -> None:
    halves = [f"run.precision={precision}", f"classifier.precision={precision}", "classifier.channels_last=true"]
    more = ["transformer.activation_checkpointing=blocks", "export=classifier", "norm_ema={evaluate: true}"]
    adapt(0, digits(f"output_dir={tmp_path}", "data.micro_batch_size=4", *halves, *more), False)
    text = (tmp_path / "digits" / "summary.json").read_text(encoding="utf-8")
    assert '"skipped_updates": 0' in text or '"skipped_updates": 0.0' in text or "skipped" not in text
    assert list((tmp_path / "digits" / "export").glob("*.safetensors"))
