"""The estimate of a run's memory by hand; runs that do not fit; memory that runs out all the same."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.files import CONFIGS
from support.own_parts import write_parts
from torch import nn

from dusa_ignite.config import Config, load_config
from dusa_ignite.distributed.launch import launch
from dusa_ignite.errors import USER_ERROR, OutOfMemory
from dusa_ignite.methods import METHODS, Cotta, Dusa, Eata, Roid, Rotta
from dusa_ignite.methods.footprint import Footprint
from dusa_ignite.methods.optimizers import Adam, Sgd
from dusa_ignite.models import Classifier, Guide
from dusa_ignite.models.guides.paths import linear
from dusa_ignite.models.guides.transformer import DiffusionTransformer
from dusa_ignite.models.model_memory import classifier_usage, transformer_usage
from dusa_ignite.runs import assemble, memory
from dusa_ignite.runs.adapt import adapt
from dusa_ignite.runs.memory import kept_parts, memory_of, update_parts
from dusa_ignite.runs.shapes import Shapes

DIGITS = (
    "data.clean_root=null",
    "data.limit=16",
    "data.batch_size=8",
    "data.micro_batch_size=4",
    "data.corruptions=[fog, contrast]",
)
OWN, GUIDES = 395 * 4, 1467 * 4  # bytes of the parameters that learn, see below


class Tiny(nn.Module):
    """3 x 8 x 8 x 2 + 2 = 386 parameters, and 2 x 3 + 3 = 9."""

    def __init__(self) -> None:
        super().__init__()
        self.num_classes = 3
        self.pretrained_cfg = {"input_size": (3, 8, 8), "mean": (0.5,) * 3, "std": (0.5,) * 3}
        self.patch = nn.Conv2d(3, 2, 8, stride=8)
        self.head = nn.Linear(2, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.patch(images).flatten(1))


def shapes(**changed: Any) -> Shapes:
    """A guide of 16 + 1,048 + 348 + 55 = 1,467 parameters that learn, and 16 + 16 that do not (classes, positions)."""
    with torch.device("meta"):
        transformer = DiffusionTransformer(
            latent_size=2, in_channels=3, patch_size=1, hidden_size=4, depth=1, num_heads=1, num_classes=3,
            learn_sigma=False,
        )  # fmt: skip
        classifier = Classifier(Tiny())
    transformer.y_embedder.requires_grad_(False)
    guide = Guide(transformer, path=linear, image_size=2)
    return Shapes(
        **{
            "classifier": classifier,
            "guide": guide,
            "learns": True,
            "moments": 2,
            "footprint": Footprint(guide_passes=3),
            "averages_norms": False,
            "batch_size": 4,
            "micro_batch_size": 4,
            "monitored": False,
            "snapshots": 1,
            "background": None,
            "sharded": False,
            **changed,
        }
    )


def digits(*overrides: str) -> Config:
    return load_config(CONFIGS / "digits.yaml", [*DIGITS, *overrides])


# By hand


def test_parts_by_hand() -> None:
    unknown: list[str] = []
    parts = update_parts(shapes(), processes=1, unknown=unknown)
    buffers = 6 * 4  # mean and standard deviation of the view
    assert parts["weights"] == OWN + buffers + GUIDES + 32 * 4
    assert parts["gradients"] == OWN + GUIDES
    assert parts["optimizer"] == 2 * (OWN + GUIDES)
    assert parts["copies"] == 0
    assert parts["batch"] == 4 * 3 * 8 * 8 * (1 + 4 + 4)
    assert unknown == []


def test_activations_are_those_of_a_micro_batch() -> None:
    everything, half = shapes(), shapes(micro_batch_size=2)
    assert everything.classifier is not None
    assert everything.guide is not None
    own = classifier_usage(everything.classifier, 4, graph=True)
    guides = transformer_usage(everything.guide, 12, graph=True, embedded=False)
    at_once = update_parts(everything, processes=1, unknown=[])["activations"]
    assert at_once == max(own.graph + guides.peak, GUIDES + own.peak) - OWN - GUIDES
    own = classifier_usage(everything.classifier, 2, graph=True)
    guides = transformer_usage(everything.guide, 6, graph=True, embedded=False)
    assert update_parts(half, processes=1, unknown=[])["activations"] == own.graph + guides.peak  # on top of gradients
    assert update_parts(shapes(), processes=2, unknown=[])["batch"] == 2 * 3 * 8 * 8 * 9  # a share of the batch


def test_what_a_shard_a_teacher_and_a_bank_take() -> None:
    sharded = update_parts(shapes(sharded=True), processes=2, unknown=[])
    assert sharded["gradients"] == OWN + GUIDES // 2
    footprint = Footprint(classifiers=2, trained=1, images=5)
    kept = update_parts(shapes(guide=None, footprint=footprint), processes=1, unknown=[])
    assert kept["copies"] == 2 * (OWN + 24) + OWN + 5 * 3 * 8 * 8
    assert kept["weights"] == OWN + 24
    assert update_parts(shapes(monitored=True), processes=1, unknown=[])["copies"] == OWN + 24


def test_nothing_learns() -> None:
    parts = update_parts(shapes(guide=None, learns=False, footprint=Footprint()), processes=1, unknown=[])
    assert (parts["gradients"], parts["optimizer"]) == (0, 0)
    assert parts["activations"] == 2 * (4 * 3 * 8 * 8 * 4)  # images less the mean, then over the standard deviation


def test_what_resets_and_checkpoints_keep() -> None:
    assert kept_parts(shapes(), processes=3, background=False) == {"snapshots": 3 * (OWN + GUIDES + 24)}
    assert kept_parts(shapes(snapshots=3), processes=1, background=False) == {"snapshots": 3 * (OWN + GUIDES + 24)}
    kept = kept_parts(shapes(snapshots=0), processes=3, background=True)  # written by the first process alone
    assert kept == {"checkpoint copy": 3 * (OWN + GUIDES) + 24 + 32 * 4}


def test_what_methods_say() -> None:
    assert Dusa.footprint(Dusa.Options(num_top=4, num_random=2)).guide_passes == 6
    assert Cotta.footprint(Cotta.Options()).classifiers == 2
    assert Rotta.footprint(Rotta.Options(memory_size=9)).images == 9
    assert Eata.footprint(Eata.Options(beta=0)).trained == 0
    assert Roid.footprint(Roid.Options()).graphs == 2
    assert (Adam().moments, Sgd().moments, Sgd(momentum=0).moments) == (2, 1, 0)


OTHERS = [method for method in METHODS if method is not Dusa and "classification" in method.problems]


@pytest.mark.parametrize("method", OTHERS, ids=lambda method: method.__name__)
def test_every_method_can_be_estimated(method: Any) -> None:
    name = method.Options.model_fields["name"].default
    found = memory_of(digits(f"method.name={name}", *(["method.beta=0"] if name == "eata" else [])))
    assert found.unknown == ()
    assert found.parts["weights"] >= 207_784 * 4  # of the classifier
    assert found.parts["activations"] > 0


def test_sampled_candidates_need_less() -> None:
    def activations(*overrides: str) -> int:
        return memory_of(digits("norm_ema=null", *overrides)).parts["activations"]

    sampled = activations("method.transformer_backward=sampled")
    assert sampled < 0.4 * activations()
    assert activations("method.transformer_backward=sampled", "method.guide_gradient_share=0.25") < sampled


def test_a_gpu_and_the_memory_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.idist, "device", lambda: torch.device("cuda:0"))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5 * 2**30, 9 * 2**30))
    leave(2**30, monkeypatch)
    found = memory_of(digits("run.precision=bfloat16"))
    device, host = found.needs
    assert (device.where, device.free, host.where, host.free) == ("on the GPU", 5 * 2**30, "in host memory", 2**30)
    assert host.parts.keys() == {"snapshots", "checkpoint copy"}  # in the background, as on GPUs by default
    assert "5.0 GiB free; " in str(found)
    leave(1000, monkeypatch)
    assert not memory_of(digits("run.precision=bfloat16")).fits
    source = memory_of(digits("run.precision=bfloat16", "method.name=source"))
    assert source.needs[1].parts.keys() == {"weights until they are on the GPU"}


# Own parts


def test_own_parts_are_unknown_not_an_error(tmp_path: Path) -> None:
    parts = write_parts(tmp_path)
    own = f"classifier={{name: '{parts['classifier']}', pretrained: false, num_classes: 10}}"
    found = memory_of(digits(own, "norm_ema=null"))
    assert found.unknown == (f"classifier.name={parts['classifier']}",)
    assert found.parts["optimizer"] == 2 * found.parts["gradients"] > 0  # of the guide
    norms = ["classifier.trainable=norm", "norm_ema=null"]
    method = memory_of(digits(f"method.name={parts['method']}", *norms))
    assert method.unknown == (f"method.name={parts['method']}",)
    assert f"without method.name={parts['method']}, which cannot be known before" in str(method)


def test_a_model_that_needs_content_is_unknown() -> None:
    class Looks(Tiny):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images) * images.mean().item()

    with torch.device("meta"):
        classifier = Classifier(Looks())
    unknown: list[str] = []
    parts = update_parts(shapes(classifier=classifier), processes=1, unknown=unknown)
    assert unknown == ["the activations of the classifier"]
    assert parts["weights"] == OWN + 24 + GUIDES + 32 * 4


# Runs that do not fit


def leave(free: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: free)


def never(*arguments: Any, **options: Any) -> Any:
    raise AssertionError("the models were built")


def test_a_run_says_what_it_takes(tmp_path: Path) -> None:
    adapt(0, digits(f"output_dir={tmp_path}", "run.max_batches=1", "data.corruptions=[fog]"))
    lines = (tmp_path / "digits" / "log.txt").read_text().splitlines()
    (line,) = [line[line.index("memory: ") :] for line in lines if "memory: about" in line]
    assert line.startswith("memory: about ")
    assert " MiB on the CPU (weights 3.6, gradients 3.6, optimizer 7.1, activations " in line
    assert line.endswith(" GiB free")
    described = json.loads((tmp_path / "digits" / "run.json").read_text())["memory_estimate_bytes"]
    assert described["on the CPU"]["optimizer"] == 2 * described["on the CPU"]["gradients"]


def test_what_does_not_fit_is_refused_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    config = digits(f"output_dir={tmp_path}")
    full, single = memory_of(config), memory_of(digits("data.micro_batch_size=1"))
    assert single.total < full.total
    leave((full.total + single.total) // 2, monkeypatch)
    monkeypatch.setattr(assemble, "classifier_of", never)
    assert launch(adapt, config, False) == USER_ERROR
    (line,) = capfd.readouterr().err.splitlines()[-1:]
    assert line.startswith("error: memory: about ")
    assert ": this does not fit; what makes it fit: data.micro_batch_size=" in line
    assert "transformer.trainable=false (" in line
    assert line.endswith("run.memory_check=false tries it all the same")
    assert not (tmp_path / "digits").exists() or not any((tmp_path / "digits").glob("*.json"))


def test_the_largest_micro_batch_that_fits_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {size: memory_of(digits(f"data.micro_batch_size={size}")).total for size in (1, 2, 3)}
    leave(sizes[2], monkeypatch)
    assert sizes[2] < sizes[3]
    with pytest.raises(OutOfMemory, match=r"data\.micro_batch_size=2 \(") as caught:
        adapt(0, digits())
    assert "run.precision=bfloat16" in str(caught.value) or "transformer.trainable=false" in str(caught.value)


def test_where_nothing_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    leave(1000, monkeypatch)
    with pytest.raises(OutOfMemory, match=r"no option alone makes it fit, several may: data\.micro_batch_size=1"):
        adapt(0, digits())


@pytest.mark.slow
def test_a_random_guide_of_full_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a run was ended by the system without a word."""
    leave(4 * 2**30, monkeypatch)
    begun = time.process_time()
    config = digits(
        "transformer={variant: SiT-XL/2, family: repa, checkpoint: random, num_classes: 10, image_size: 32}",
        "data.micro_batch_size=1",
    )
    with pytest.raises(OutOfMemory, match=r"optimizer 5\.\d, .*transformer\.trainable=false \(\d\.\d GiB\)"):
        adapt(0, config)
    assert time.process_time() - begun < 60


def test_the_check_can_be_turned_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    leave(1000, monkeypatch)
    adapt(0, digits(f"output_dir={tmp_path}", "run.memory_check=false", "run.max_batches=1"))
    assert (tmp_path / "digits" / "summary.json").exists()
    shown = capfd.readouterr()
    assert "1000 bytes free: this does not fit, and the system may end the run" in shown.out + shown.err


def test_nobody_says_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    leave(None, monkeypatch)
    found = memory_of(digits())
    assert found.fits
    assert "free" not in str(found)


# Memory that runs out all the same

CPU_SHORTAGE = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
SHORTAGES = [
    pytest.param(MemoryError(), marks=pytest.mark.slow),
    pytest.param(
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore"), marks=pytest.mark.slow
    ),
    RuntimeError(CPU_SHORTAGE),
]


@pytest.mark.parametrize("error", SHORTAGES, ids=lambda error: type(error).__name__)
def test_memory_that_runs_out_is_a_line_and_the_run_goes_on_later(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    config = digits(f"output_dir={tmp_path}")
    with monkeypatch.context() as patch:
        patch.setattr(Dusa, "objective", after(6, Dusa.objective, error))  # 4 micro-batches a task: in the second
        assert launch(adapt, config, False) == USER_ERROR
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: the memory of this machine ran out (")
    assert "; what takes less: data.micro_batch_size=2 (" in line
    assert line.endswith("--resume goes on from them, with another data.micro_batch_size too")
    assert launch(adapt, digits(f"output_dir={tmp_path}", "resume=auto", "data.micro_batch_size=2"), False) == 0
    assert launch(adapt, digits(f"output_dir={tmp_path}", "name=whole"), False) == 0
    resumed, whole = (tmp_path / name / "predictions.csv" for name in ("digits", "whole"))
    assert resumed.read_text().splitlines()[0] == whole.read_text().splitlines()[0]
    assert len(resumed.read_text().splitlines()) == len(whole.read_text().splitlines())


def test_other_errors_keep_their_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dusa, "objective", after(0, Dusa.objective, RuntimeError("a defect")))
    with pytest.raises(RuntimeError, match="a defect"):
        adapt(0, digits(f"output_dir={tmp_path}"))


def after(calls: int, function: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    """The function, which fails once it has been called so many times."""
    made = 0

    def failing(*arguments: Any, **options: Any) -> Any:
        nonlocal made
        made += 1
        if made > calls:
            raise error
        return function(*arguments, **options)

    return failing
